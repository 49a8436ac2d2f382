// This module is browser compatible.

/** Hands out runs of rows of one buffer, the lowest that fits first; neighbours that come back grow together. */
export class RowPool {
  /** Free runs, ascending. */
  #free: { begin: number; end: number }[];

  constructor(readonly rows: number) {
    this.#free = [{ begin: 0, end: rows }];
  }

  /** Rows that are free, in one run or in several. */
  get freeRows(): number {
    return this.#free.reduce((sum, { begin, end }) => sum + end - begin, 0);
  }

  /** @returns The first of `count` rows in a run, or null if there is no such run now. */
  take(count: number): number | null {
    const run = this.#free.find(({ begin, end }) => end - begin >= count);
    if (!run) return null;
    const first = run.begin;
    run.begin += count;
    if (run.begin === run.end) this.#free.splice(this.#free.indexOf(run), 1);
    return first;
  }

  /** Takes back what {@link take} gave. */
  give(begin: number, count: number): void {
    const end = begin + count;
    const next = this.#free.findIndex((run) => run.begin >= end);
    const at = next < 0 ? this.#free.length : next;
    this.#free.splice(at, 0, { begin, end });
    this.#join(at);
    this.#join(at - 1);
  }

  /** Joins a run with the one behind it, if they touch. */
  #join(at: number): void {
    const [run, next] = [this.#free[at], this.#free[at + 1]];
    if (!run || run.end !== next?.begin) return;
    run.end = next.end;
    this.#free.splice(at + 1, 1);
  }
}
