// This module is browser compatible.
import type { DispatchObserver } from "./commands.ts";
import type { Gpu } from "./device.ts";

/** A command buffer in the making. Dispatches that follow each other share a pass; an observer gets one for each. */
export class Encoding {
  /** Whether a kernel's first dispatch is in it: drivers compile as late as then, which takes up to seconds. */
  compiles = false;
  dispatches = 0;
  readonly #encoder: GPUCommandEncoder;
  #pass: GPUComputePassEncoder | undefined;

  constructor({ device }: Gpu, readonly observer?: DispatchObserver) {
    this.#encoder = device.createCommandEncoder();
  }

  /** The pass for a dispatch of a kernel. */
  pass(kernel: string): GPUComputePassEncoder {
    this.dispatches++;
    if (this.observer) this.#endPass();
    return this.#pass ??= this.#encoder.beginComputePass(this.observer?.pass(kernel));
  }

  /** What copies between passes. */
  get copier(): GPUCommandEncoder {
    this.#endPass();
    return this.#encoder;
  }

  finish(): GPUCommandBuffer {
    this.#endPass();
    return this.#encoder.finish();
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
  }
}
