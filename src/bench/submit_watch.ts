// This module is browser compatible.
import type { Gpu } from "../gpu/device.ts";

/**
 * Times `queue.submit` apart from the recording before it, by standing in front of the device's own: a CPU adapter runs the
 * commands inside of it. It can also keep them from running.
 */
export class SubmitWatch {
  /** Spent in submits since it was last set. */
  milliseconds = 0;
  #queue: GPUQueue;

  constructor({ device: { queue } }: Gpu, runs: boolean) {
    this.#queue = queue;
    const submit = queue.submit.bind(queue);
    queue.submit = (commands) => {
      const begin = performance.now();
      if (runs) submit(commands);
      this.milliseconds += performance.now() - begin;
    };
  }

  /** Takes the stand-in away. */
  end(): void {
    delete (this.#queue as Partial<GPUQueue>).submit;
  }
}
