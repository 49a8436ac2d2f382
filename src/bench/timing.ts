// This module is browser compatible.
import { Commands } from "../gpu/commands.ts";
import type { Gpu } from "../gpu/device.ts";
import { MOST_TIMED_DISPATCHES, Profiler } from "../gpu/profiler.ts";

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * The least that one measurement lasts, by repeating the work: single dispatches took up to five times as long on an H100, which
 * seems to raise its clocks only where it has work for a while.
 */
const LEAST_MS = 20;
/** The same where no timestamps are: waiting alone costs 11 ms in Deno. */
const LEAST_WALL_MS = 200;

/** Measures what recorded commands take on the GPU: by timestamps where the device has them, else by the wall clock. */
export class Stopwatch {
  readonly clock: "timestamps" | "wall";
  #profiler: Profiler | undefined;

  constructor(readonly gpu: Gpu) {
    this.#profiler = gpu.features.timestamps ? new Profiler(gpu) : undefined;
    this.clock = this.#profiler ? "timestamps" : "wall";
  }

  /** @returns Median milliseconds of `repetitions` measurements, after some that do not count. */
  async measure(record: (commands: Commands) => void, repetitions: number): Promise<number> {
    const leastMs = this.#profiler ? LEAST_MS : LEAST_WALL_MS;
    let { ms, dispatches } = await this.#run(record, 1); // compiles
    const most = this.#profiler ? Math.floor(MOST_TIMED_DISPATCHES / dispatches) : Infinity;
    let count = 1;
    do {
      count = Math.min(most, 2 * count);
      ({ ms } = await this.#run(record, count));
    } while (ms < leastMs && count < most);
    const times: number[] = [];
    for (let i = 0; i < repetitions; i++) times.push((await this.#run(record, count)).ms / count);
    return median(times);
  }

  /** Does it so many times, and says how long that took. */
  async #run(record: (commands: Commands) => void, count: number) {
    const profiler = this.#profiler;
    const before = profiler?.total();
    const began = performance.now();
    const commands = new Commands(this.gpu, profiler);
    for (let i = 0; i < count; i++) record(commands);
    commands.submit();
    if (!profiler || !before) {
      await this.gpu.idle();
      return { ms: performance.now() - began, dispatches: 0 };
    }
    await profiler.collect();
    const after = profiler.total();
    return {
      ms: after.milliseconds - before.milliseconds,
      dispatches: after.dispatches - before.dispatches,
    };
  }
}
