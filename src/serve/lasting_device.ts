// This module is browser compatible.
import { UnavailableError } from "../errors.ts";
import { DeviceLostError, type Gpu } from "../gpu/device.ts";
import { retry, type RetryOptions } from "./retry.ts";

/** How a device that failed is replaced. */
export interface Recovery extends Pick<RetryOptions, "firstPauseMs"> {
  /** @throws {Error} If there is none at present. */
  openDevice(): Promise<Gpu>;
  /** Told of every {@link LastingDevice.outage}, and of its end. */
  onOutage(outage: string | null): void;
}

/** A device that is opened again where it fails: lost with its driver, or of no more use after an error. */
export class LastingDevice {
  #gpu: Gpu;
  #outage: string | null = null;
  readonly #closing = new AbortController();

  /**
   * @param renew Puts on a new device what was on the old one; nothing is in use meanwhile.
   * @param recovery Without it, a device that fails stays failed.
   */
  constructor(
    gpu: Gpu,
    readonly renew: (gpu: Gpu) => Promise<void>,
    readonly recovery?: Recovery,
  ) {
    this.#gpu = gpu;
    this.#watch(gpu);
  }

  get gpu(): Gpu {
    return this.#gpu;
  }

  /** Why it cannot be used at present, in words; null: it can. */
  get outage(): string | null {
    return this.#outage;
  }

  /**
   * Does something with the device.
   *
   * @throws {UnavailableError} If it has failed, or fails meanwhile.
   */
  async use<T>(action: (gpu: Gpu) => Promise<T>): Promise<T> {
    if (this.#outage !== null) throw this.#unavailable(this.#outage);
    const gpu = this.#gpu;
    try {
      return await action(gpu);
    } catch (error) {
      throw gpu.failure ? this.#unavailable(inWords(gpu.failure)) : error;
    }
  }

  close(): void {
    this.#closing.abort();
    this.#gpu.close();
  }

  #watch(gpu: Gpu): void {
    gpu.failed.then((failure) => {
      if (!this.#closing.signal.aborted) this.#replace(inWords(failure));
    });
  }

  async #replace(failure: string): Promise<void> {
    this.#tell(failure);
    if (!this.recovery) return;
    const { openDevice, firstPauseMs } = this.recovery;
    const again = await retry(async () => {
      this.#gpu.close(); // what is in work ends
      this.#gpu = await openDevice();
      await this.renew(this.#gpu);
      this.#gpu.check();
    }, {
      signal: this.#closing.signal,
      firstPauseMs,
      onFailure: ({ message }) =>
        this.#tell(`${failure}, and it could not be opened again: ${message}`),
    });
    if (!again) return this.#gpu.close();
    this.#watch(this.#gpu);
    this.#tell(null);
  }

  #tell(outage: string | null): void {
    this.#outage = outage;
    this.recovery?.onOutage(outage);
  }

  #unavailable(outage: string): UnavailableError {
    const remedy = this.recovery
      ? "it is opened again and the models are loaded again, so ask again shortly"
      : "restart the server";
    return new UnavailableError(`${outage}: ${remedy}`);
  }
}

function inWords(failure: Error): string {
  return failure instanceof DeviceLostError
    ? `The GPU was lost (${failure.reason})`
    : `The GPU failed (${failure.message})`;
}
