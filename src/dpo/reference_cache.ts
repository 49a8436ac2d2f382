// This module is browser compatible.

/**
 * The reference's scores on disk. They depend on weights, tokens, device and precision, all of which are in the key; that
 * they still are what this program computes is seen by computing a few of them again.
 *
 * @module
 */

import type { PreferencePair } from "../data/pairs.ts";
import { type Cache, cacheKey, spread } from "../formats/cache.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Operand } from "../kernels/shapes.ts";
import type { Model } from "../model/model.ts";
import { scoreReference } from "./evaluate.ts";
import type { ScoreOptions } from "./pack.ts";
import { NUMBERS_PER_PAIR, Reference } from "./reference.ts";

/** Pairs that are scored again when scores were found: one in a hundred, and never fewer than this. */
const LEAST_VERIFIED = 4;

/** All that the scores of a dataset depend on. */
export interface ScoreOrigin extends ScoreOptions {
  /** Digest of the reference's weights. */
  weights: string;
  /** Digest of the pairs' tokens and boundaries. */
  tokens: string;
  precision: Operand;
}

/** The scores of one dataset. */
export class ReferenceCache {
  private constructor(
    readonly cache: Cache,
    readonly key: string,
    readonly reference: Reference,
    readonly pairs: readonly PreferencePair[],
  ) {}

  /**
   * Lets the reference remember the scores that are in the cache.
   *
   * @param policy Whose trunk the reference may share.
   * @returns The cache to {@link save} to, and what was found, in words.
   */
  static async load(
    cache: Cache,
    policy: Model,
    reference: Reference,
    pairs: readonly PreferencePair[],
    origin: ScoreOrigin,
  ): Promise<{ scores: ReferenceCache; found: string }> {
    const { info, features }: Gpu = policy.gpu;
    const key = await cacheKey({ kind: "reference scores 2", ...origin, info, features });
    const scores = new ReferenceCache(cache, key, reference, pairs);
    const bytes = await cache.get(key);
    if (bytes === null) return { scores, found: "none yet" };
    const entry = decode(bytes, pairs.length);
    if (entry === null) return { scores, found: "ignored, as they are not of these pairs" };
    const { length } = entry.rows;
    const verified = spread(length, Math.max(LEAST_VERIFIED, Math.ceil(length / 100)));
    const asked = verified.map((i) => pairs[entry.rows[i]]);
    const again = new Reference(reference.model, reference.sharesTrunk);
    await scoreReference(policy, again, asked, origin);
    const same = verified.every((i, j) =>
      again.of(asked[j]).every((score, k) => score === entry.scores[i * NUMBERS_PER_PAIR + k])
    );
    if (!same) return { scores, found: "ignored, as scores computed again differ from them" };
    reference.remember(Array.from(entry.rows, (row) => pairs[row]), entry.scores);
    return {
      scores,
      found:
        `of ${entry.rows.length} of ${pairs.length} pairs, ${verified.length} of them verified`,
    };
  }

  /** Stores what the reference knows of the pairs. */
  async save(): Promise<void> {
    const rows = this.pairs.keys().filter((row) => this.reference.knows([this.pairs[row]]));
    await this.cache.put(this.key, encode([...rows], (row) => this.reference.of(this.pairs[row])));
  }
}

/** An entry: the number of pairs, their rows, and the scores of each. */
function encode(
  rows: readonly number[],
  scoresOf: (row: number) => Float32Array,
): Uint8Array<ArrayBuffer>[] {
  const numbers = Uint32Array.from([rows.length, ...rows]);
  const scores = new Float32Array(rows.length * NUMBERS_PER_PAIR);
  for (const [i, row] of rows.entries()) scores.set(scoresOf(row), i * NUMBERS_PER_PAIR);
  return [new Uint8Array(numbers.buffer), new Uint8Array(scores.buffer)];
}

/** What {@link encode} wrote; null if it is not of so many pairs. */
function decode(
  bytes: Uint8Array<ArrayBuffer>,
  pairCount: number,
): { rows: Uint32Array; scores: Float32Array } | null {
  const { buffer } = bytes.slice(); // from the beginning of a buffer, as numbers must be
  const [count] = new Uint32Array(buffer, 0, 1);
  if (buffer.byteLength !== 4 + 4 * count * (1 + NUMBERS_PER_PAIR)) return null;
  const rows = new Uint32Array(buffer, 4, count);
  const scores = new Float32Array(buffer, 4 + 4 * count);
  return rows.some((row) => row >= pairCount) ? null : { rows, scores };
}
