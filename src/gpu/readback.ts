// This module is browser compatible.
import type { Commands } from "./commands.ts";
import type { Gpu, ReadOptions } from "./device.ts";
import { byteLength, type Tensor } from "./tensor.ts";

/**
 * Results that a step leaves for the CPU, collected in one buffer and fetched together later: a step never waits, and the
 * 11 ms that a map costs in Deno are shared by all steps since the last fetch.
 */
export class Readback {
  #staging: GPUBuffer;
  #used = 0;
  #slots: { offset: number; bytes: number; take: (data: ArrayBuffer) => void }[] = [];

  constructor(readonly gpu: Gpu, readonly capacityBytes = 4 * 2 ** 20) {
    this.#staging = gpu.device.createBuffer({
      label: "readback ring",
      size: capacityBytes,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
  }

  /** Whether `bytes` more can be recorded before the next {@link fetch}. */
  fits(bytes: number): boolean {
    return this.#used + bytes <= this.capacityBytes;
  }

  /** Copies a tensor at this point of the commands; `take` gets its bytes at the next {@link fetch}. */
  record(commands: Commands, tensor: Tensor, take: (data: ArrayBuffer) => void): void {
    const bytes = byteLength(tensor);
    if (!this.fits(bytes)) {
      throw new RangeError(`Readback is full: fetch() before recording ${bytes} bytes more`);
    }
    commands.copyToBuffer(this.#staging, this.#used, tensor);
    this.#slots.push({ offset: this.#used, bytes, take });
    this.#used += bytes;
  }

  /** Waits for everything submitted, as {@link Gpu.readBuffer}, and hands out what was recorded, in order. */
  async fetch(options?: ReadOptions): Promise<void> {
    if (this.#slots.length === 0) return;
    const data = await this.gpu.readBuffer(this.#staging, this.#used, options);
    const slots = this.#slots.splice(0);
    this.#used = 0;
    for (const { offset, bytes, take } of slots) take(data.slice(offset, offset + bytes));
  }
}
