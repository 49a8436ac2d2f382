// This module is browser compatible.

import { cacheKey } from "../formats/cache.ts";
import type { TextTokenizer } from "../text/tokenizer.ts";
import { parseAnswer } from "./answer_rows.ts";
import type { LoadedPairs, PreferencePair } from "./pairs.ts";
import { type DataOptions, prepareRows } from "./prepare.ts";
import type { DataCounts, PreparedRow } from "./prepared.ts";
import type { DatasetRow } from "./rows.ts";
import type { TokenSequence } from "./truncate.ts";

/** What losses of single answers need to know of their neighbors. */
export interface AnswerOptions {
  /** Answers that are trained together, among which each prompt gets another one's answer; null: no other answer is needed. */
  together: number | null;
}

/** Rows of pairs whose answers are taken apart together: first the chosen ones, then the rejected ones; as TRL does. */
const UNPAIRED_ROWS = 1000;

/**
 * Loads a dataset for losses of single answers, of any shape that `parseAnswer` knows. Pairs are taken apart.
 *
 * @returns As `loadPairs`: `chosen` is the answer, `label` whether it is good, and `rejected` what `AnswerOptions` asks for.
 * @throws {UserError} As `prepareRows`.
 */
export async function loadAnswers(
  source: AsyncIterable<DatasetRow> | Iterable<DatasetRow>,
  tokenizer: TextTokenizer | null,
  options: DataOptions,
  { together }: AnswerOptions,
): Promise<LoadedPairs> {
  const parse = (row: DatasetRow) => parseAnswer(row, options);
  const { rows, counts, hash, ...rest } = await prepareRows(source, parse, tokenizer, options);
  const answers = takenApart(rows);
  const perRow = answers.length / rows.length;
  return {
    pairs: pairedAnswers(answers, together, options.maxLengthTokens),
    counts: { ...countsOfAnswers(counts, perRow), identicalPairs: 0 },
    ...rest,
    // Other sequences than those of the rows: scores of these must not be taken for scores of those.
    hash: await cacheKey({ answers: hash, together }),
  };
}

/**
 * Single answers as their losses take them.
 *
 * @param together See `AnswerOptions`.
 */
export function pairedAnswers(
  answers: readonly PreparedRow[],
  together: AnswerOptions["together"],
  maxLengthTokens: number,
): PreferencePair[] {
  return answers.map(({ index, sequences: [answer], terms }, i) => ({
    index,
    chosen: answer,
    rejected: together === null
      ? promptOf(answer)
      : behind(answer, answers[neighborOf(i, answers.length, together)], maxLengthTokens),
    ...terms,
  }));
}

/** Counts of single answers. */
export interface AnswerCounts extends DataCounts {
  /** Kept pairs that the answers come from; missing where rows were single answers. */
  pairsTakenApart?: number;
}

/** Counts of which each is of examples that stay or go: of pairs, and so of their answers. */
const TAKEN_APART = [
  ...["examples", "kept", "filtered"] as const,
  ...["droppedPromptTooLong", "droppedTooLong", "droppedEmptyCompletion"] as const,
];

/** @param counts Of pairs, if `perRow` is 2. */
export function countsOfAnswers(counts: DataCounts, perRow: number): AnswerCounts {
  if (perRow < 2) return counts;
  const ofAnswers = TAKEN_APART.map((name) => [name, perRow * counts[name]]);
  return { ...counts, ...Object.fromEntries(ofAnswers), pairsTakenApart: counts.kept };
}

/** Answers of pairs one by one; others as they are. */
export function takenApart(rows: readonly PreparedRow[]): PreparedRow[] {
  if (rows[0].sequences.length === 1) return [...rows];
  const answers: PreparedRow[] = [];
  for (let begin = 0; begin < rows.length; begin += UNPAIRED_ROWS) {
    const block = rows.slice(begin, begin + UNPAIRED_ROWS);
    for (const [side, label] of [true, false].entries()) {
      for (const { index, sequences, terms } of block) {
        answers.push({ index, sequences: [sequences[side]], terms: { ...terms, label } });
      }
    }
  }
  return answers;
}

/** Whose answer stands behind a prompt: that of the one before among those together, of the last one for the first; as in TRL its
 * own one where it is alone. */
function neighborOf(i: number, count: number, together: number): number {
  const begin = i - i % together;
  return i === begin ? Math.min(count, begin + together) - 1 : i - 1;
}

const promptOf = ({ ids, promptLength }: TokenSequence): TokenSequence => ({
  ids: ids.subarray(0, promptLength),
  promptLength,
});

/** A prompt with the answer of another row. */
function behind(
  { ids, promptLength }: TokenSequence,
  { sequences: [other] }: PreparedRow,
  maxLength: number,
): TokenSequence {
  const answer = other.ids.subarray(
    other.promptLength,
    other.promptLength + maxLength - promptLength,
  );
  const joined = new Uint32Array(promptLength + answer.length);
  joined.set(ids.subarray(0, promptLength));
  joined.set(answer, promptLength);
  return { ids: joined, promptLength };
}
