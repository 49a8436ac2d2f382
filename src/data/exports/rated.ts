// This module is browser compatible.

import { isObject } from "../../formats/json.ts";
import { pairsOf, type RankedAnswer, type RankedPairs, ruleInWords } from "../ranked_answers.ts";
import type { DatasetRow } from "../rows.ts";
import type { TranslatedRow } from "./translated.ts";
import { numberOf, withPrompt } from "./values.ts";

const ANSWER_LISTS = ["generations", "completions", "responses", "answers", "candidates"];
const RATING_LISTS = ["ratings", "scores", "rewards", "overall_scores"];
const RANK_LISTS = ["ranks", "ranking", "rank"];
const ANSWER_FIELDS = [
  ...["answer", "completion", "response", "generation", "text", "output", "content"],
];
const RATING_FIELDS = ["rating", "score", "overall_score", "reward"];

/**
 * Several answers with ratings or ranks: distilabel's and UltraFeedback's `{instruction, generations, ratings}`, NeMo-RL's
 * `{context, completions: [{rank, completion}]}`, Nectar's `{prompt, answers: [{answer, rank}]}`. Ranks begin with the best.
 */
export function rated({ value }: DatasetRow, rule: RankedPairs): TranslatedRow | null {
  const column = ANSWER_LISTS.find((name) => Array.isArray(value[name]));
  if (column === undefined) return null;
  const items = value[column] as unknown[];
  const ratings = RATING_LISTS.find((name) => Array.isArray(value[name]));
  const ranks = RANK_LISTS.find((name) => Array.isArray(value[name]));
  const beside = (ratings ?? ranks) === undefined ? null : value[(ratings ?? ranks)!] as unknown[];
  const sign = ratings === undefined ? -1 : 1;
  const isRated = (item: unknown) =>
    isObject(item) && [...RATING_FIELDS, "rank"].some((field) => field in item);
  if (beside === null && !items.some(isRated)) return null;
  const answers = items.map((item, i): RankedAnswer => {
    const answer = isObject(item) ? item[ANSWER_FIELDS.find((field) => field in item) ?? ""] : item;
    if (beside !== null) return { answer, rating: sign * numberOf(beside[i]) };
    const fields = isObject(item) ? item : {};
    const rating = RATING_FIELDS.find((field) => field in fields);
    return {
      answer,
      rating: rating === undefined ? -numberOf(fields.rank) : numberOf(fields[rating]),
    };
  });
  const how = ratings ?? ranks ??
    (items.some((item) => isObject(item) && "rank" in item) ? "ranks" : "ratings");
  const { pairs, ties } = pairsOf(answers, rule);
  const used = [column, ...[ratings ?? ranks].filter((name) => name !== undefined)];
  const rest = { ...value };
  for (const name of used) delete rest[name];
  return {
    format: `answers in "${column}" with ${how}, ${ruleInWords(rule)}`,
    columns: used,
    pairs: pairs.map((pair) => ({ ...withPrompt(rest), ...pair })),
    ties,
    answers: items.length,
  };
}
