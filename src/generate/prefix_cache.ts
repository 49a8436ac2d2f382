// This module is browser compatible.
import { sharedLength } from "../data/shared_length.ts";
import { PREFIX_BLOCK } from "./prefill.ts";
import type { RowPool } from "./row_pool.ts";

/** A prompt whose keys and values stand in the cache. */
interface CachedPrompt {
  tokens: readonly number[];
  firstRow: number;
}

/** The beginning of a prompt that stands in the cache. */
export interface CachedPrefix {
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
export class PrefixCache {
  /** The longest unused first. */
  #prompts: CachedPrompt[] = [];

  constructor(readonly rows: RowPool) {}

  /** Rows that it keeps, and gives up when asked to. */
  get keptRows(): number {
    return this.#prompts.reduce((sum, { tokens }) => sum + tokens.length, 0);
  }

  /** Takes over the rows of a finished sequence: keeps its prompt's, gives the others back. */
  keep(prompt: readonly number[], firstRow: number, rowCount: number): void {
    const length = Math.floor(prompt.length / PREFIX_BLOCK) * PREFIX_BLOCK;
    const tokens = prompt.slice(0, length);
    const isCached = this.#prompts.some((other) => sharedLength(other.tokens, tokens) === length);
    const kept = isCached ? 0 : length; // nothing of a short prompt, since 0 tokens are shared by all
    if (kept > 0) this.#prompts.push({ tokens, firstRow });
    if (rowCount > kept) this.rows.give(firstRow + kept, rowCount - kept);
    if (this.#prompts.length > MOST_PROMPTS) this.#forget(0);
  }

  /**
   * Takes rows for a sequence, forgetting prompts where there are too few.
   *
   * @param pinned Rows that must stay: beginnings that others are about to be computed from.
   * @returns The first row, and the longest cached prefix of the prompt; null if there is no room.
   */
  take(
    prompt: readonly number[],
    rowCount: number,
    pinned: readonly CachedPrefix[] = [],
  ): { firstRow: number; prefix?: CachedPrefix } | null {
    let best = this.#longest(prompt);
    for (;;) {
      const firstRow = this.rows.take(rowCount);
      if (firstRow !== null) return { firstRow, prefix: best?.prefix };
      const stays = [...pinned.map(({ firstRow }) => firstRow), best?.prefix.firstRow];
      const oldest = this.#prompts.findIndex((other) => !stays.includes(other.firstRow));
      if (oldest >= 0) this.#forget(oldest);
      else if (best && !pinned.some(({ firstRow }) => firstRow === best!.prefix.firstRow)) {
        this.#forget(this.#prompts.indexOf(best.from)); // room for the whole is worth more
        best = null;
      } else return null;
    }
  }

  #longest(prompt: readonly number[]): { prefix: CachedPrefix; from: CachedPrompt } | null {
    let best: { prefix: CachedPrefix; from: CachedPrompt } | null = null;
    for (const from of this.#prompts) {
      // At least one token is computed: the next one follows from it.
      const common = Math.min(sharedLength(from.tokens, prompt), prompt.length - 1);
      const length = Math.floor(common / PREFIX_BLOCK) * PREFIX_BLOCK;
      if (length > (best?.prefix.length ?? 0)) {
        best = { prefix: { firstRow: from.firstRow, length }, from };
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
