// This module is browser compatible.

import type { TextTokenizer } from "../text/tokenizer.ts";
import { parsePair } from "./examples.ts";
import { type DataCounts, type DataOptions, prepareRows } from "./prepare.ts";
import type { DatasetRow } from "./rows.ts";
import type { TokenSequence } from "./truncate.ts";

export type { DataOptions } from "./prepare.ts";
export type { TokenSequence, Truncation } from "./truncate.ts";

/** A preference pair in tokens. */
export interface PreferencePair {
  /** The row in dataset order, dropped rows counted. */
  index: number;
  chosen: TokenSequence;
  rejected: TokenSequence;
}

/** What became of the rows of a preference dataset. */
export interface PairCounts extends DataCounts {
  /** Kept pairs whose two sides are the same tokens, perhaps only after cutting; they teach nothing. */
  identicalPairs: number;
}

/**
 * Loads a preference dataset of any shape that `parsePair` knows.
 *
 * @param source Rows, usually from `readRows`.
 * @param tokenizer Needed unless the rows are token ids.
 * @returns `pairs` in dataset order; `counts`; `format`, the shape of the rows in words; `hash` of the kept tokens.
 * @throws {UserError} As `prepareRows`.
 */
export async function loadPairs(
  source: AsyncIterable<DatasetRow> | Iterable<DatasetRow>,
  tokenizer: TextTokenizer | null,
  options: DataOptions,
): Promise<{ pairs: PreferencePair[]; counts: PairCounts; format: string; hash: string }> {
  const { rows, counts, format, hash } = await prepareRows(source, parsePair, tokenizer, options);
  const pairs = rows.map(({ index, sequences: [chosen, rejected] }) => ({
    index,
    chosen,
    rejected,
  }));
  const identicalPairs =
    pairs.filter(({ chosen, rejected }) =>
      chosen.ids.length === rejected.ids.length &&
      chosen.ids.every((id, i) => id === rejected.ids[i])
    ).length;
  return { pairs, counts: { ...counts, identicalPairs }, format, hash };
}
