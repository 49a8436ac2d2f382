// This module is browser compatible.
import type { RowTerms } from "./terms.ts";
import type { TokenSequence } from "./truncate.ts";

/** What is odd about a row, and changes what is learned from it; counted by these names. */
export type RowNote =
  /** It has more than two answers. */
  | "severalAnswers"
  /** Its prompt stands in the answers again, and is left out there. */
  | "repeatedPrompts"
  /** Its answers begin with the prompt's text, which stays. */
  | "echoedPrompts"
  /** An answer is not by the assistant. */
  | "otherSpeakers"
  /** Turns behind the last answer are left out. */
  | "turnsLeftOut"
  /** The chat template writes nothing of something that a message says. */
  | "lostInTemplate"
  /** The chat template opens an answer with what a conversation with the answer does not have. */
  | "openingDropped";

/** What became of the rows. */
export interface DataCounts extends Record<RowNote, number> {
  rows: number;
  /** Pairs, single answers or texts that the rows make. */
  examples: number;
  /** Examples that are left of them. */
  kept: number;
  /** Answers that are as good as the one that they would be paired with. */
  ties: number;
  /** Rows with a margin, or with a weight, of their own. */
  withMargin: number;
  withWeight: number;
  /** Examples that the filter rejects. */
  filtered: number;
  /** Examples whose prompt leaves no room for a token that counts. */
  droppedPromptTooLong: number;
  /** Examples longer than the maximum, under `truncation: "drop"`. */
  droppedTooLong: number;
  /** Examples with a completion that says nothing, unless prompts count too. */
  droppedEmptyCompletion: number;
  /** Rows that prefer no answer, or whose answer is marked as bad. */
  droppedWithoutPreference: number;
  /** Kept examples that were cut, before pairs were taken apart, and the tokens that they lost. */
  truncatedRows: number;
  truncatedTokens: number;
  /** Of the same, those whose prompt had to give tokens to the completion because they reach across the boundary. */
  boundaryMerged: number;
}

/** Why a row is dropped: the count that it goes into. */
export type DropReason = Extract<keyof DataCounts, `dropped${string}`>;

/** The sequences of an example, one per completion. A row with several pairs makes several. */
export interface PreparedRow extends PreparedExample {
  /** In dataset order, dropped rows counted. */
  index: number;
}

/** What a row is made into, once or several times. */
export interface PreparedExample {
  sequences: TokenSequence[];
  terms?: RowTerms;
}

/** A dataset, ready for the model. */
export interface Prepared<Row> {
  rows: Row[];
  counts: DataCounts;
  /** The shape of the rows, in words. */
  format: string;
  /** Whether they are a tool's rows, made into pairs. */
  translated: boolean;
  /** How they became tokens, in words. */
  encoding: string;
  /** Columns that say nothing to the model, sorted. */
  unusedColumns: string[];
  /** SHA-256 over token ids and boundaries of the kept rows, hexadecimal. */
  hash: string;
}
