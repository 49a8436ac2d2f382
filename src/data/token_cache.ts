// This module is browser compatible.

/**
 * Datasets in tokens, on disk. What they depend on is in the key: the bytes of rows and tokenizer, and the options; that they
 * still are what this program makes of the rows is seen by making the first ones again.
 *
 * @module
 */

import type { Cache } from "../formats/cache.ts";
import type { Prepared, PreparedRow } from "./prepare.ts";
import type { DatasetRow } from "./rows.ts";
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
   * @param prepare Makes tokens of a row, or null if it is left out.
   * @returns null if the entry is missing or stale.
   */
  async load(
    prepare: (row: DatasetRow) => TokenSequence[] | null,
  ): Promise<Prepared<PreparedRow> | null> {
    const bytes = await this.cache.get(this.key);
    if (bytes === null) {
      this.outcome = "none yet";
      return null;
    }
    const prepared = decode(bytes);
    const rows: PreparedRow[] = [];
    let seen = 0;
    for await (const row of this.open()) {
      if (seen === VERIFIED) break;
      const sequences = prepare(row);
      if (sequences !== null) rows.push({ index: seen, sequences });
      seen++;
    }
    const first = prepared.rows.filter(({ index }) => index < seen);
    if (rows.length === first.length && rows.every((row, i) => isSame(row, first[i]))) {
      this.outcome = `of ${prepared.rows.length} rows, the first ${seen} of them verified`;
      return prepared;
    }
    this.outcome = "ignored, as rows encoded again differ from them";
    return null;
  }

  async save(prepared: Prepared<PreparedRow>): Promise<void> {
    await this.cache.put(this.key, encode(prepared));
  }
}

function isSame(a: PreparedRow, b: PreparedRow): boolean {
  return a.index === b.index && a.sequences.length === b.sequences.length &&
    a.sequences.every(({ ids, promptLength }, side) => {
      const other = b.sequences[side];
      return promptLength === other.promptLength && ids.length === other.ids.length &&
        ids.every((id, i) => id === other.ids[i]);
    });
}

/**
 * An entry: the header's length in words, the header, and then of each row its index and number of sequences, of each sequence
 * its prompt's length and its whole length, and its tokens.
 */
function encode({ rows, ...header }: Prepared<PreparedRow>): Uint8Array<ArrayBuffer>[] {
  const json = new TextEncoder().encode(JSON.stringify(header satisfies Header));
  const words = Math.ceil(json.length / 4);
  const lengthOf = ({ sequences }: PreparedRow) =>
    sequences.reduce((sum, { ids }) => sum + 2 + ids.length, 2);
  const numbers = new Uint32Array(1 + words + rows.reduce((sum, row) => sum + lengthOf(row), 0));
  numbers[0] = words;
  const bytes = new Uint8Array(numbers.buffer);
  bytes.fill(0x20, 4, 4 + 4 * words); // JSON may end with spaces
  bytes.set(json, 4);
  let at = 1 + words;
  for (const { index, sequences } of rows) {
    numbers[at++] = index;
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
    const sequences: TokenSequence[] = [];
    for (let left = numbers[at++]; left > 0; left--) {
      const promptLength = numbers[at++], length = numbers[at++];
      sequences.push({ ids: numbers.subarray(at, at + length), promptLength });
      at += length;
    }
    rows.push({ index, sequences });
  }
  return { rows, ...header };
}
