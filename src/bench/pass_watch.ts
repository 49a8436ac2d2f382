// This module is browser compatible.
import type { Gpu } from "../gpu/device.ts";
import { Profiler } from "../gpu/profiler.ts";

/**
 * Adds up how long a device's compute passes keep the GPU, by timestamps at their ends, by standing in front of the device's
 * own encoders: whole submits are timed, not dispatches, which costs next to nothing.
 */
export class PassWatch {
  readonly #device: GPUDevice;
  readonly #profiler: Profiler;

  /** @throws {RangeError} If the device has no timestamps. */
  constructor(gpu: Gpu) {
    const profiler = this.#profiler = new Profiler(gpu);
    const device = this.#device = gpu.device;
    const createEncoder = device.createCommandEncoder.bind(device);
    device.createCommandEncoder = () => {
      const encoder = createEncoder();
      const begin = encoder.beginComputePass.bind(encoder);
      encoder.beginComputePass = () => begin(profiler.pass("pass"));
      return encoder;
    };
  }

  /** Milliseconds in passes that were submitted since it began. */
  async milliseconds(): Promise<number> {
    await this.#profiler.collect();
    return this.#profiler.total().milliseconds;
  }

  /** Takes the stand-in away. */
  end(): void {
    delete (this.#device as Partial<GPUDevice>).createCommandEncoder;
  }
}
