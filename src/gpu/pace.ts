// This module is browser compatible.

/** What a submit should last at most: drivers end one after two seconds, and a desktop waits for it to draw. */
const SUBMIT_MS = 75;
/** Dispatches of the first parts of a step, and of all of them until their speed is known. */
const FIRST_PART = 48;
const LARGEST_PART = 768;

/**
 * How many dispatches a GPU can be given at once, learned from how long it took for earlier ones: from a submit to an idle GPU
 * until somebody has waited for everything.
 */
export class Pace {
  #waiting = 0;
  #beganMs = 0;
  #dispatchMs: number | undefined;

  /**
   * @param inParts Whether the device begins before all is recorded. A CPU adapter should not: it would take the processors away
   * from the recording.
   * @param now Milliseconds since some moment.
   */
  constructor(
    readonly inParts: boolean,
    readonly now: () => number = () => performance.now(),
  ) {}

  /** Dispatches of a step's first part: Infinity where it has one alone. */
  get first(): number {
    return this.inParts ? Math.min(FIRST_PART, this.most) : Infinity;
  }

  /** So many dispatches that last about as long as a submit may. */
  get most(): number {
    if (this.#dispatchMs === undefined) return FIRST_PART;
    return Math.max(1, Math.min(LARGEST_PART, Math.floor(SUBMIT_MS / this.#dispatchMs)));
  }

  /** Notes a submit. */
  submitted(dispatches: number): void {
    if (this.#waiting === 0) this.#beganMs = this.now();
    this.#waiting += dispatches;
  }

  /** Notes that everything submitted is done. */
  finished(): void {
    if (this.#waiting === 0) return;
    const dispatchMs = (this.now() - this.#beganMs) / this.#waiting;
    // Who waited late, or compiled, measured too much: it counts no more than twice what was known.
    this.#dispatchMs = Math.min(dispatchMs, 2 * (this.#dispatchMs ?? Infinity));
    this.#waiting = 0;
  }
}
