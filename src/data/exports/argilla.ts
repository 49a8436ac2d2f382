// This module is browser compatible.

import { isObject } from "../../formats/json.ts";
import { pairsOf, type RankedPairs, ruleInWords } from "../ranked_answers.ts";
import type { DatasetRow } from "../rows.ts";
import type { TranslatedRow } from "./translated.ts";
import { numberOf, type Values, wordOf } from "./values.ts";

/**
 * Argilla's records, flattened (`"<question>.responses"`, `"<question>.suggestion"`) or nested: answers in fields with numbers
 * at their ends, and either a rating for each (the mean of what was submitted, else the suggestion) or a question that names
 * the best or ranks them.
 */
export function argilla(row: DatasetRow, rule: RankedPairs): TranslatedRow | null {
  const value = flattened(row.value);
  const questions = [
    ...new Set(
      Object.keys(value).flatMap((key) => /^(.+)\.(?:responses|suggestion)$/.exec(key)?.[1] ?? []),
    ),
  ];
  if (questions.length === 0) return null;
  const names = Object.keys(value).filter((name) =>
    /[-_]?\d+$/.test(name) && typeof value[name] === "string"
  );
  if (names.length < 2) return null;
  const verdictOf = (question: string): unknown[] => {
    const given = value[`${question}.responses`];
    const states = value[`${question}.responses.status`];
    const submitted = Array.isArray(given)
      ? given.filter((_, i) => !Array.isArray(states) || states[i] === "submitted")
      : [];
    const suggestion = value[`${question}.suggestion`];
    return submitted.length > 0
      ? submitted
      : suggestion === undefined || suggestion === null
      ? []
      : [suggestion];
  };
  const totals = new Map<string, number[]>(names.map((name) => [name, []]));
  for (const question of questions) {
    const own = names.find((name) =>
      question !== name && question.startsWith(name) && !/^\d/.test(question.slice(name.length))
    );
    for (const verdict of verdictOf(question)) {
      if (own !== undefined) {
        const rating = numberOf(verdict);
        if (!Number.isNaN(rating)) totals.get(own)!.push(rating);
        continue;
      }
      for (const [name, rating] of ratingsOf(verdict, names)) totals.get(name)!.push(rating);
    }
  }
  const mean = (numbers: number[]) => numbers.reduce((sum, n) => sum + n, 0) / numbers.length;
  const answers = names.map((name) => ({ answer: value[name], rating: mean(totals.get(name)!) }));
  const { pairs, ties } = pairsOf(answers, rule);
  const prompt = ["instruction", "prompt", "question", "input", "text"].find((name) =>
    name in value
  );
  return {
    format: `Argilla's records, ${ruleInWords(rule)}`,
    columns: Object.keys(row.value).filter((key) =>
      key === prompt || names.includes(key) ||
      ["fields", "responses", "suggestions"].includes(key) ||
      questions.some((question) => key.startsWith(`${question}.`))
    ),
    pairs: pairs.map((pair) => ({
      ...prompt === undefined ? {} : { question: value[prompt] },
      ...typeof value.system_prompt === "string" ? { system: value.system_prompt } : {},
      ...pair,
    })),
    ties,
    answers: names.length,
  };
}

/** The nested form of Argilla's records in the flattened one; others as they are. */
function flattened(value: Values): Values {
  const { fields, responses, suggestions } = value;
  if (!isObject(fields)) return value;
  const flat: Values = { ...fields };
  for (const [question, given] of Object.entries(isObject(responses) ? responses : {})) {
    const list = (Array.isArray(given) ? given : []).filter(isObject);
    flat[`${question}.responses`] = list.map((response) => response.value);
    flat[`${question}.responses.status`] = list.map(({ status }) => status ?? "submitted");
  }
  for (const [question, given] of Object.entries(isObject(suggestions) ? suggestions : {})) {
    flat[`${question}.suggestion`] = isObject(given) ? given.value : given;
  }
  return flat;
}

/** What a label or a ranking says of answers: a label names the best, ranks begin with the best. */
function ratingsOf(verdict: unknown, names: readonly string[]): [name: string, rating: number][] {
  const bare = (text: unknown) => wordOf(text).toLowerCase().replaceAll(/[^a-z0-9]/g, "");
  const named = (text: unknown) => names.find((name) => bare(name) === bare(text));
  if (Array.isArray(verdict)) {
    return verdict.flatMap((item, i): [string, number][] => {
      const name = named(isObject(item) ? item.value : item);
      const rank = isObject(item) ? numberOf(item.rank) : i + 1;
      return name === undefined || Number.isNaN(rank) ? [] : [[name, -rank]];
    });
  }
  const best = named(verdict);
  return best === undefined ? [] : names.map((name) => [name, name === best ? 1 : 0]);
}
