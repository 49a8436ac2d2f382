// This module is browser compatible.

import type { TextTokenizer } from "../text/tokenizer.ts";
import { parsePair } from "./pair_rows.ts";
import { type DataOptions, prepareRows } from "./prepare.ts";
import type { DataCounts, Prepared, PreparedRow } from "./prepared.ts";
import type { DatasetRow } from "./rows.ts";
import type { RowTerms } from "./terms.ts";
import type { TokenSequence } from "./truncate.ts";

export type { DataOptions } from "./prepare.ts";
export type { TokenSequence, Truncation } from "./truncate.ts";

/**
 * A preference pair in tokens. One with a `label` is a single answer: `chosen`, good or not; `rejected` is what its loss needs
 * besides, an answer of another row behind the same prompt or the prompt alone.
 */
export interface PreferencePair extends RowTerms {
  /** The row in dataset order, dropped rows counted. */
  index: number;
  chosen: TokenSequence;
  rejected: TokenSequence;
}

/** What became of the rows of a preference dataset. */
export interface PairCounts extends DataCounts {
  /** Kept pairs whose two sides are the same tokens, perhaps only after cutting; they teach nothing. */
  identicalPairs: number;
  /** See `AnswerCounts`. */
  pairsTakenApart?: number;
}

/** A preference dataset, ready for the model. */
export interface LoadedPairs extends Omit<Prepared<PreparedRow>, "rows" | "counts"> {
  pairs: PreferencePair[];
  counts: PairCounts;
}

/**
 * Loads a preference dataset of any shape that `parsePair` knows.
 *
 * @param source Rows, usually from `readRows`.
 * @param tokenizer Needed unless the rows are token ids.
 * @returns `pairs` in dataset order, with what became of the rows.
 * @throws {UserError} As `prepareRows`.
 */
export async function loadPairs(
  source: AsyncIterable<DatasetRow> | Iterable<DatasetRow>,
  tokenizer: TextTokenizer | null,
  options: DataOptions,
): Promise<LoadedPairs> {
  const parse = (row: DatasetRow) => parsePair(row, options);
  const { rows, counts, ...rest } = await prepareRows(source, parse, tokenizer, options);
  const pairs = rows.map(pairOf);
  const identicalPairs =
    pairs.filter(({ chosen, rejected }) =>
      chosen.ids.length === rejected.ids.length &&
      chosen.ids.every((id, i) => id === rejected.ids[i])
    ).length;
  return { pairs, counts: { ...counts, identicalPairs }, ...rest };
}

/** The pair of a row with two answers. */
export function pairOf(
  { index, sequences: [chosen, rejected], terms }: PreparedRow,
): PreferencePair {
  return { index, chosen, rejected, ...terms };
}
