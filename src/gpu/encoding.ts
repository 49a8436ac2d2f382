// This module is browser compatible.

/** Told of every dispatch; the profiler gives each one a pass of its own with timestamps. */
export interface DispatchObserver {
  pass(kernel: string): GPUComputePassDescriptor;
}

/** What a buffer holds: copies of it are compared with this. */
export interface Content {
  /** Grows with every write. */
  version: number;
}

/** A command buffer in the making. Dispatches that follow each other share a pass; an observer gets one for each. */
export class Encoding {
  /** Whether a kernel's first dispatch is in it: drivers compile as late as then, which takes up to seconds. */
  compiles = false;
  dispatches = 0;
  /** Whether its commands were, or are about to be, given to the GPU. */
  finished = false;
  /** Of the buffers that its commands write. */
  readonly #written = new Set<Content>();
  readonly #encoder: GPUCommandEncoder;
  #pass: GPUComputePassEncoder | undefined;

  constructor(device: GPUDevice, readonly observer?: DispatchObserver) {
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

  /** Notes that a command writes to a buffer: copies of what it holds are no longer up to date. */
  writes(content: Content): void {
    content.version++;
    this.#written.add(content);
  }

  finish(): GPUCommandBuffer {
    this.#endPass();
    // Others may have made copies meanwhile, of what was not written yet.
    for (const content of this.#written) content.version++;
    this.finished = true;
    return this.#encoder.finish();
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
  }
}
