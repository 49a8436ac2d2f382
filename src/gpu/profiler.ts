// This module is browser compatible.
import type { DispatchObserver } from "./encoding.ts";
import type { Gpu } from "./device.ts";

/** GPU time of one kernel over everything profiled. */
export interface KernelTime {
  kernel: string;
  dispatches: number;
  milliseconds: number;
}

/** Between two collects: a query set holds no more. */
export const MOST_TIMED_DISPATCHES = 2048;

/**
 * Measures what each kernel costs on the GPU: hand it to Commands, which then gives every dispatch a pass of its own between
 * two timestamps. That costs a little itself, so totals are for shares, not for speeds.
 */
export class Profiler implements DispatchObserver {
  #queries: GPUQuerySet;
  #resolved: GPUBuffer;
  #staging: GPUBuffer;
  #kernels: string[] = [];
  #milliseconds = new Map<string, KernelTime>();

  /** @throws {RangeError} If the device has no timestamps. */
  constructor(readonly gpu: Gpu) {
    if (!gpu.features.timestamps) {
      throw new RangeError(`"${gpu.info.description}" has no timestamp-query`);
    }
    const { device } = gpu;
    this.#queries = device.createQuerySet({ type: "timestamp", count: 2 * MOST_TIMED_DISPATCHES });
    this.#resolved = device.createBuffer({
      size: 16 * MOST_TIMED_DISPATCHES,
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    });
    this.#staging = device.createBuffer({
      size: 16 * MOST_TIMED_DISPATCHES,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
  }

  pass(kernel: string): GPUComputePassDescriptor {
    const index = 2 * this.#kernels.push(kernel) - 2;
    if (index >= 2 * MOST_TIMED_DISPATCHES) {
      throw new RangeError(
        `Expected at most ${MOST_TIMED_DISPATCHES} dispatches between two collect()`,
      );
    }
    return {
      timestampWrites: {
        querySet: this.#queries,
        beginningOfPassWriteIndex: index,
        endOfPassWriteIndex: index + 1,
      },
    };
  }

  /** Reads the timestamps of what was submitted since the last call. */
  async collect(): Promise<void> {
    const count = 2 * this.#kernels.length;
    if (count === 0) return;
    const encoder = this.gpu.device.createCommandEncoder();
    encoder.resolveQuerySet(this.#queries, 0, count, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, this.#staging, 0, 8 * count);
    this.gpu.device.queue.submit([encoder.finish()]);
    const stamps = new BigUint64Array(await this.gpu.readBuffer(this.#staging, 8 * count));
    for (const [i, kernel] of this.#kernels.splice(0).entries()) {
      const entry = this.#milliseconds.get(kernel) ?? { kernel, dispatches: 0, milliseconds: 0 };
      entry.dispatches++;
      entry.milliseconds += Number(stamps[2 * i + 1] - stamps[2 * i]) / 1e6;
      this.#milliseconds.set(kernel, entry);
    }
  }

  /** Kernels by time, the costliest first. */
  times(): KernelTime[] {
    return [...this.#milliseconds.values()].sort((a, b) => b.milliseconds - a.milliseconds);
  }

  /** All kernels together. */
  total(): Omit<KernelTime, "kernel"> {
    const sum = { dispatches: 0, milliseconds: 0 };
    for (const { dispatches, milliseconds } of this.#milliseconds.values()) {
      sum.dispatches += dispatches;
      sum.milliseconds += milliseconds;
    }
    return sum;
  }
}
