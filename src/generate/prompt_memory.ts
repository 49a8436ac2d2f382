// This module is browser compatible.
import { sharedLength } from "../data/shared_length.ts";
import { KNOWN_STEP } from "./prefill.ts";
import type { RowPool } from "./row_pool.ts";

/** A prompt whose keys and values stand in the cache. */
interface Remembered {
  tokens: readonly number[];
  firstRow: number;
}

/** The beginning of a prompt that stands in the cache. */
export interface Known {
  firstRow: number;
  length: number;
}

/** More would make the search for a beginning longer than what it saves. */
const MOST_PROMPTS = 64;

/**
 * Prompts of finished sequences, whose rows are kept until somebody needs them: the next turn of a conversation begins as the
 * one before did, and many prompts begin with the same instructions. Only what was computed as a prompt is kept, in whole
 * blocks, for that comes out with the same bits again; what was drawn was computed in another order.
 */
export class PromptMemory {
  /** The longest unused first. */
  #prompts: Remembered[] = [];

  constructor(readonly rows: RowPool) {}

  /** Rows that it keeps, and gives up when asked to. */
  get keptRows(): number {
    return this.#prompts.reduce((sum, { tokens }) => sum + tokens.length, 0);
  }

  /** Takes over the rows of a finished sequence: keeps its prompt's, gives the others back. */
  keep(prompt: readonly number[], firstRow: number, rowCount: number): void {
    const length = Math.floor(prompt.length / KNOWN_STEP) * KNOWN_STEP;
    const tokens = prompt.slice(0, length);
    const isKnown = this.#prompts.some((other) => sharedLength(other.tokens, tokens) === length);
    const kept = isKnown ? 0 : length; // nothing of a short prompt, for 0 tokens are known to anybody
    if (kept > 0) this.#prompts.push({ tokens, firstRow });
    if (rowCount > kept) this.rows.give(firstRow + kept, rowCount - kept);
    if (this.#prompts.length > MOST_PROMPTS) this.#forget(0);
  }

  /**
   * Takes rows for a sequence, forgetting prompts where there are too few.
   *
   * @param pinned Rows that must stay: beginnings that others are about to be computed from.
   * @returns The first row, and the longest beginning of the prompt that is known; null if there is no room.
   */
  take(
    prompt: readonly number[],
    rowCount: number,
    pinned: readonly Known[] = [],
  ): { firstRow: number; known?: Known } | null {
    let best = this.#longest(prompt);
    for (;;) {
      const firstRow = this.rows.take(rowCount);
      if (firstRow !== null) return { firstRow, known: best?.known };
      const stays = [...pinned.map(({ firstRow }) => firstRow), best?.known.firstRow];
      const oldest = this.#prompts.findIndex((other) => !stays.includes(other.firstRow));
      if (oldest >= 0) this.#forget(oldest);
      else if (best && !pinned.some(({ firstRow }) => firstRow === best!.known.firstRow)) {
        this.#forget(this.#prompts.indexOf(best.from)); // room for the whole is worth more
        best = null;
      } else return null;
    }
  }

  #longest(prompt: readonly number[]): { known: Known; from: Remembered } | null {
    let best: { known: Known; from: Remembered } | null = null;
    for (const from of this.#prompts) {
      // At least one token is computed: the next one follows from it.
      const common = Math.min(sharedLength(from.tokens, prompt), prompt.length - 1);
      const length = Math.floor(common / KNOWN_STEP) * KNOWN_STEP;
      if (length > (best?.known.length ?? 0)) {
        best = { known: { firstRow: from.firstRow, length }, from };
      }
    }
    if (best) { // is used again, so others are forgotten first
      this.#prompts.splice(this.#prompts.indexOf(best.from), 1);
      this.#prompts.push(best.from);
    }
    return best;
  }

  #forget(index: number): void {
    const [{ firstRow, tokens }] = this.#prompts.splice(index, 1);
    this.rows.give(firstRow, tokens.length);
  }
}
