// This module is browser compatible.

import type { TextTokenizer } from "../text/tokenizer.ts";
import { parseSequence } from "./text_rows.ts";
import { type DataOptions, prepareRows } from "./prepare.ts";
import type { Prepared, PreparedRow } from "./prepared.ts";
import type { DatasetRow } from "./rows.ts";
import type { TokenSequence } from "./truncate.ts";

/** A text in tokens. */
export interface TextRow extends TokenSequence {
  /** The row in dataset order, dropped rows counted. */
  index: number;
}

/**
 * Loads a dataset for next-token training, of any shape that `parseSequence` knows.
 *
 * @param source Rows, usually from `readRows`.
 * @param tokenizer Needed unless the rows are token ids.
 * @returns `sequences` in dataset order, with what became of the rows.
 * @throws {UserError} As `prepareRows`.
 */
export async function loadSequences(
  source: AsyncIterable<DatasetRow> | Iterable<DatasetRow>,
  tokenizer: TextTokenizer | null,
  options: DataOptions,
): Promise<Omit<Prepared<PreparedRow>, "rows"> & { sequences: TextRow[] }> {
  const { rows, ...rest } = await prepareRows(source, parseSequence, tokenizer, options);
  return { sequences: rows.map(({ index, sequences: [only] }) => ({ index, ...only })), ...rest };
}
