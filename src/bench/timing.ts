// This module is browser compatible.
import { Commands } from "../gpu/commands.ts";
import type { Gpu } from "../gpu/device.ts";
import { Profiler } from "../gpu/profiler.ts";

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Where no timestamps are, one measurement repeats the work until it takes this long: waiting alone costs 11 ms in Deno. */
const WALL_CLOCK_MS = 200;

/** Measures what recorded commands take on the GPU: by timestamps where the device has them, else by the wall clock. */
export class Stopwatch {
  readonly clock: "timestamps" | "wall";
  #profiler: Profiler | undefined;

  constructor(readonly gpu: Gpu) {
    this.#profiler = gpu.features.timestamps ? new Profiler(gpu) : undefined;
    this.clock = this.#profiler ? "timestamps" : "wall";
  }

  /** @returns Median milliseconds of `repetitions` runs, after one that does not count. */
  async measure(record: (commands: Commands) => void, repetitions: number): Promise<number> {
    const once = this.#profiler ? this.#stamped : this.#timed;
    await once.call(this, record);
    const times: number[] = [];
    for (let i = 0; i < repetitions; i++) times.push(await once.call(this, record));
    return median(times);
  }

  async #stamped(record: (commands: Commands) => void): Promise<number> {
    const profiler = this.#profiler!;
    const total = () => profiler.times().reduce((sum, { milliseconds }) => sum + milliseconds, 0);
    const before = total();
    const commands = new Commands(this.gpu, profiler);
    record(commands);
    commands.submit();
    await profiler.collect();
    return total() - before;
  }

  async #timed(record: (commands: Commands) => void): Promise<number> {
    for (let count = 1;; count *= 4) {
      const begin = performance.now();
      const commands = new Commands(this.gpu);
      for (let i = 0; i < count; i++) record(commands);
      commands.submit();
      await this.gpu.idle();
      const elapsedMs = performance.now() - begin;
      if (elapsedMs >= WALL_CLOCK_MS) return elapsedMs / count;
    }
  }
}
