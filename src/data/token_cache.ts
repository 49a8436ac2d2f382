// This module is browser compatible.

/**
 * Datasets in tokens, on disk. What they depend on is in the key: the bytes of rows and tokenizer, the options, and the code;
 * that they still are what this program makes of the rows is seen by making some again, from the first to the last.
 *
 * @module
 */

import { type Cache, spread } from "../formats/cache.ts";
import type { Prepared, PreparedExample, PreparedRow } from "./prepared.ts";
import type { DatasetRow } from "./rows.ts";
import { TERM_WORDS, termsOf, wordsOf } from "./terms.ts";
import type { TokenSequence } from "./truncate.ts";

/** Rows that are encoded again when there is an entry. */
const VERIFIED = 16;

/** What stands in front of the tokens, as JSON. */
type Header = Omit<Prepared<PreparedRow>, "rows">;

/** The entry of one dataset. */
export class TokenCache {
  /** What became of the entry, in words. */
  outcome = "not asked";

  /**
   * @param key Of all that the tokens depend on.
   * @param open Reads the dataset from its beginning.
   */
  constructor(
    readonly cache: Cache,
    readonly key: string,
    readonly open: () => AsyncIterable<DatasetRow>,
  ) {}

  /**
   * @param prepare Makes tokens of a row's examples that are kept.
   * @returns null if the entry is missing or stale.
   */
  async load(
    prepare: (row: DatasetRow) => PreparedExample[],
  ): Promise<Prepared<PreparedRow> | null> {
    const bytes = await this.cache.get(this.key);
    if (bytes === null) {
      this.outcome = "none yet";
      return null;
    }
    const prepared = decode(bytes);
    const verified = spread(prepared.counts.rows, VERIFIED);
    if (await this.#isSame(prepared.rows, verified, prepare)) {
      this.outcome = `of ${prepared.rows.length} rows, ${verified.length} of the dataset verified`;
      return prepared;
    }
    this.outcome = "ignored, as rows encoded again differ from them";
    return null;
  }

  /** Whether the rows of the dataset at these places, ascending, become what is known of them. */
  async #isSame(
    known: readonly PreparedRow[],
    places: readonly number[],
    prepare: (row: DatasetRow) => PreparedExample[],
  ): Promise<boolean> {
    const knownAt = Map.groupBy(known, ({ index }) => index);
    let index = 0;
    let next = 0;
    for await (const row of this.open()) {
      if (next === places.length) break;
      if (index++ < places[next]) continue;
      const expected = knownAt.get(places[next++]) ?? [];
      const found = prepare(row);
      if (
        found.length !== expected.length ||
        !found.every((example, i) => isSame(example, expected[i]))
      ) return false;
    }
    return next === places.length;
  }

  async save(prepared: Prepared<PreparedRow>): Promise<void> {
    await this.cache.put(this.key, encode(prepared));
  }
}

function isSame(a: PreparedExample, b: PreparedExample): boolean {
  return a.sequences.length === b.sequences.length &&
    (["margin", "weight", "label"] as const).every((term) => a.terms?.[term] === b.terms?.[term]) &&
    a.sequences.every(({ ids, promptLength }, side) => {
      const other = b.sequences[side];
      return promptLength === other.promptLength && ids.length === other.ids.length &&
        ids.every((id, i) => id === other.ids[i]);
    });
}

/**
 * An entry: the header's length in words, the header, and then of each example its row's index, its terms and its number of
 * sequences, of each sequence its prompt's length and its whole length, and its tokens.
 */
function encode({ rows, ...header }: Prepared<PreparedRow>): Uint8Array<ArrayBuffer>[] {
  const json = new TextEncoder().encode(JSON.stringify(header satisfies Header));
  const words = Math.ceil(json.length / 4);
  const lengthOf = ({ sequences }: PreparedRow) =>
    sequences.reduce((sum, { ids }) => sum + 2 + ids.length, 2 + TERM_WORDS);
  const numbers = new Uint32Array(1 + words + rows.reduce((sum, row) => sum + lengthOf(row), 0));
  numbers[0] = words;
  const bytes = new Uint8Array(numbers.buffer);
  bytes.fill(0x20, 4, 4 + 4 * words); // JSON may end with spaces
  bytes.set(json, 4);
  let at = 1 + words;
  for (const { index, sequences, terms = {} } of rows) {
    numbers[at++] = index;
    numbers.set(wordsOf(terms), at);
    at += TERM_WORDS;
    numbers[at++] = sequences.length;
    for (const { ids, promptLength } of sequences) {
      numbers[at++] = promptLength;
      numbers[at++] = ids.length;
      numbers.set(ids, at);
      at += ids.length;
    }
  }
  return [bytes];
}

/** The tokens are views of the entry, not copies. */
function decode(bytes: Uint8Array<ArrayBuffer>): Prepared<PreparedRow> {
  // The digest before the entry is a whole number of words.
  const numbers = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const words = numbers[0];
  const header: Header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + 4 * words)));
  const rows: PreparedRow[] = [];
  for (let at = 1 + words; at < numbers.length;) {
    const index = numbers[at++];
    const terms = termsOf(numbers.subarray(at, at += TERM_WORDS));
    const sequences: TokenSequence[] = [];
    for (let left = numbers[at++]; left > 0; left--) {
      const promptLength = numbers[at++], length = numbers[at++];
      sequences.push({ ids: numbers.subarray(at, at + length), promptLength });
      at += length;
    }
    rows.push(terms === undefined ? { index, sequences } : { index, sequences, terms });
  }
  return { rows, ...header };
}
