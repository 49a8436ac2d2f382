// This module is browser compatible.
import type { TokenSequence } from "./truncate.ts";

/** What became of the rows. */
export interface DataCounts {
  rows: number;
  kept: number;
  /** Rows that the filter rejects. */
  filtered: number;
  /** Rows whose prompt leaves no room for a token that counts. */
  droppedPromptTooLong: number;
  /** Rows longer than the maximum, under `truncation: "drop"`. */
  droppedTooLong: number;
  /** Rows with a completion that says nothing, unless prompts count too. */
  droppedEmptyCompletion: number;
  /** Kept rows that were cut, and the tokens that they lost. */
  truncatedRows: number;
  truncatedTokens: number;
  /** Kept rows whose prompt had to give tokens to the completion because they reach across the boundary. */
  boundaryMerged: number;
}

/** Why a row is dropped: the count that it goes into. */
export type DropReason = Extract<keyof DataCounts, `dropped${string}`>;

/** A row's sequences, one per completion. */
export interface PreparedRow {
  /** In dataset order, dropped rows counted. */
  index: number;
  sequences: TokenSequence[];
}

/** A dataset, ready for the model. */
export interface Prepared<Row> {
  rows: Row[];
  counts: DataCounts;
  /** The shape of the rows, in words. */
  format: string;
  /** How they became tokens, in words. */
  encoding: string;
  /** Columns that say nothing to the model, sorted. */
  unusedColumns: string[];
  /** SHA-256 over token ids and boundaries of the kept rows, hexadecimal. */
  hash: string;
}
