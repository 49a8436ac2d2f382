// This module is browser compatible.

/**
 * The rows that tools export, as rows of `{prompt, chosen, rejected}`: one function for each, which knows its rows by their
 * keys. Of more than two answers the best goes against the worst; of equally good or bad ones the first counts.
 *
 * @module
 */

import { describe, isObject } from "../formats/json.ts";
import { malformed } from "./fields.ts";
import type { DatasetRow } from "./rows.ts";

/** A row of a tool, understood. */
export interface TranslatedRow {
  /** Whose row it is, in words. */
  format: string;
  /** The columns that it was made from, besides those that are in `pair` under their own names. */
  columns: string[];
  /** The columns of a preference row; null where the row prefers no answer. */
  pair: Record<string, unknown> | null;
  /** Answers that the row has. */
  answers: number;
}

type Values = Record<string, unknown>;
type Translate = (row: DatasetRow) => TranslatedRow | null;

/**
 * @param row Without nulls.
 * @returns null if it is no tool's row.
 * @throws {UserError} If it is one, but malformed.
 */
export function translateRow(row: DatasetRow): TranslatedRow | null {
  for (const translate of [openWebUi, labelStudio, argilla, swift, rated, twoSides]) {
    const translated = translate(row);
    if (translated !== null) return translated;
  }
  return null;
}

/** An answer and how good it is; NaN if nobody said. */
interface RatedAnswer {
  answer: unknown;
  rating: number;
}

/** @returns null if no answer is better than another. */
function bestAgainstWorst(answers: readonly RatedAnswer[]): Values | null {
  const known = answers.filter(({ rating }) => !Number.isNaN(rating));
  if (known.length === 0) return null;
  const best = known.reduce((best, other) => other.rating > best.rating ? other : best);
  const worst = known.reduce((worst, other) => other.rating < worst.rating ? other : worst);
  if (best.rating === worst.rating) return null;
  return { chosen: best.answer, rejected: worst.answer };
}

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
function rated({ value }: DatasetRow): TranslatedRow | null {
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
  const answers = items.map((item, i): RatedAnswer => {
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
  const pair = bestAgainstWorst(answers);
  const used = [column, ...[ratings ?? ranks].filter((name) => name !== undefined)];
  const rest = { ...value };
  for (const name of used) delete rest[name];
  return {
    format: `answers in "${column}" with ${how}, best against worst`,
    columns: used,
    pair: pair && { ...withPrompt(rest), ...pair },
    answers: items.length,
  };
}

/** Other names of the prompt, where none of the usual ones is there. */
function withPrompt(value: Values): Values {
  const usual = ["prompt", "instruction", "input", "question", "conversations", "messages"];
  if (usual.some((name) => name in value)) {
    return "messages" in value && Array.isArray(value.messages)
      ? { prompt: value.messages, ...value }
      : value;
  }
  const name = ["context", "query", "history"].find((other) => other in value);
  if (name === undefined) return value;
  return { ...value, [typeof value[name] === "string" ? "question" : "prompt"]: value[name] };
}

/**
 * ms-swift's `{messages, rejected_response}`, in which the last message is the chosen answer, `{messages, rejected_messages}`
 * and `{query, response, rejected_response}`.
 */
function swift({ value }: DatasetRow): TranslatedRow | null {
  const { messages, rejected_response: response, rejected_messages: others } = value;
  const other = response ?? others;
  if (other === undefined || "chosen" in value || "chosen_response" in value) return null;
  if (Array.isArray(messages)) {
    const last = messages.findLastIndex((message) => isObject(message) && isAssistant(message));
    const answers = Array.isArray(response) && response.every((item) => typeof item === "string")
      ? response.length + 1
      : 2;
    const { rejected_response: _1, rejected_messages: _2, ...rest } = value;
    const pair = others === undefined
      ? {
        prompt: messages.slice(0, Math.max(0, last)),
        chosen: messages.slice(Math.max(0, last)),
        rejected: response,
      }
      : { chosen: messages, rejected: others };
    return {
      format: `ms-swift's messages with ${
        response === undefined ? "rejected_messages" : "rejected_response"
      }`,
      columns: ["messages", response === undefined ? "rejected_messages" : "rejected_response"],
      pair: { ...rest, ...pair },
      answers,
    };
  }
  if (typeof value.response !== "string") return null;
  const { response: chosen, rejected_response: rejected, ...rest } = value;
  return {
    format: "ms-swift's response with rejected_response",
    columns: ["response", "rejected_response", "query"].filter((name) => name in value),
    pair: { ...withPrompt(rest), chosen, rejected },
    answers: 2,
  };
}

const isAssistant = ({ role, from }: Values) =>
  /^(assistant|gpt|chatgpt|model|bot)$/i.test(wordOf(role ?? from));

/**
 * A task of Label Studio with a pairwise comparison: `{data, annotations: [{result: [{type: "pairwise", to_name, value}]}]}`.
 * Of several annotations the majority decides; cancelled ones do not count.
 */
function labelStudio(row: DatasetRow): TranslatedRow | null {
  const { data, annotations } = row.value;
  if (!isObject(data) || !Array.isArray(annotations)) return null;
  const results = annotations
    .filter((annotation) => isObject(annotation) && annotation.was_cancelled !== true)
    .flatMap((annotation) => Array.isArray(annotation.result) ? annotation.result : [])
    .filter((result) => isObject(result) && result.type === "pairwise");
  const promptName = ["prompt", "question", "instruction", "input", "text"]
    .find((name) => name in data);
  let votes = 0;
  let sides: string[] = [];
  for (const { to_name: names, value } of results) {
    const tags = wordOf(names).split(",").map((name) => name.trim());
    // The names are those of the labels' configuration; data may be called otherwise.
    sides = tags.every((tag) => tag in data)
      ? tags
      : Object.keys(data).filter((name) => name !== promptName && typeof data[name] === "string");
    if (sides.length !== 2 || tags.length !== 2) {
      throw malformed(
        row,
        'two answers in "data" for a pairwise comparison',
        sides.join(", ") || "none",
      );
    }
    const selected = isObject(value) ? value.selected : undefined;
    const side = ["left", "right"].indexOf(wordOf(selected));
    const place = side >= 0 ? side : tags.indexOf(wordOf(selected));
    if (place < 0) {
      throw malformed(
        row,
        `"selected" of the comparison to be left, right, ${tags.join(" or ")}`,
        describe(selected),
      );
    }
    votes += place === 0 ? 1 : -1;
  }
  const [chosen, rejected] = votes > 0 ? sides : [...sides].reverse();
  const prompt = promptName === undefined ? undefined : data[promptName];
  return {
    format: "Label Studio's pairwise comparisons",
    columns: ["data", "annotations"],
    pair: votes === 0 ? null : {
      ...prompt === undefined ? {} : { [Array.isArray(prompt) ? "prompt" : "question"]: prompt },
      ...typeof data.system === "string" ? { system: data.system } : {},
      chosen: data[chosen],
      rejected: data[rejected],
    },
    answers: 2,
  };
}

/**
 * Argilla's records, flattened (`"<question>.responses"`, `"<question>.suggestion"`) or nested: answers in fields with numbers
 * at their ends, and either a rating for each (the mean of what was submitted, else the suggestion) or a question that names
 * the best or ranks them.
 */
function argilla(row: DatasetRow): TranslatedRow | null {
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
  const pair = bestAgainstWorst(answers);
  const prompt = ["instruction", "prompt", "question", "input", "text"].find((name) =>
    name in value
  );
  return {
    format: "Argilla's records, best against worst",
    columns: Object.keys(row.value).filter((key) =>
      key === prompt || names.includes(key) ||
      ["fields", "responses", "suggestions"].includes(key) ||
      questions.some((question) => key.startsWith(`${question}.`))
    ),
    pair: pair && {
      ...prompt === undefined ? {} : { question: value[prompt] },
      ...typeof value.system_prompt === "string" ? { system: value.system_prompt } : {},
      ...pair,
    },
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

/**
 * Feedback of Open WebUI, as its administration exports it: the rated message and one of its siblings, other answers to the
 * same message, that is not rated alike. A thumb with no sibling prefers nothing.
 */
function openWebUi(row: DatasetRow): TranslatedRow | null {
  const { data, meta, snapshot } = row.value;
  if (!isObject(data) || !isObject(meta) || !isObject(snapshot)) return null;
  const messages = at(snapshot, "chat", "chat", "history", "messages") ??
    at(snapshot, "chat", "history", "messages");
  const id = meta.message_id;
  if (!isObject(messages) || typeof id !== "string") return null;
  const all = Object.entries(messages).filter((entry): entry is [string, Values] =>
    isObject(entry[1])
  );
  const message = all.find(([key]) => key === id)?.[1];
  const rating = Math.sign(numberOf(data.rating));
  const ratingOf = (other: Values) => Math.sign(numberOf(at(other, "annotation", "rating")) || 0);
  const siblings = message === undefined
    ? []
    : all.filter(([key, other]) =>
      key !== id && other.parentId === message.parentId && isAssistant(other) &&
      typeof other.content === "string" && other.content !== ""
    ).map(([, other]) => other);
  const worse = siblings.filter((other) => ratingOf(other) !== rating);
  const [sibling] = worse.sort((a, b) => rating * (ratingOf(a) - ratingOf(b)));
  const prompt: unknown[] = [];
  const visited = new Set<unknown>();
  for (let parent = message?.parentId; typeof parent === "string" && !visited.has(parent);) {
    visited.add(parent);
    const turn: unknown = messages[parent];
    if (!isObject(turn)) break;
    prompt.unshift({ role: turn.role, content: turn.content });
    parent = turn.parentId;
  }
  const answer = ({ content }: Values) => [{ role: "assistant", content }];
  const sides = message === undefined || sibling === undefined || !rating
    ? null
    : rating > 0
    ? { chosen: answer(message), rejected: answer(sibling) }
    : { chosen: answer(sibling), rejected: answer(message) };
  return {
    format: "Open WebUI's feedback, the rated answer and its sibling",
    columns: ["data", "meta", "snapshot"],
    pair: sides && { prompt, ...sides },
    answers: siblings.length + 1,
  };
}

/** Two answers under names of their own, and which of them is better. */
const SIDES: readonly {
  format: string;
  sides: [string, string];
  verdict: string[];
  /** @returns The place of the better one. */
  better(value: Values): number | null;
}[] = [
  {
    format: "Stanford's human preferences",
    sides: ["human_ref_A", "human_ref_B"],
    verdict: ["labels"],
    better: ({ labels }) => numberOf(labels) === 1 ? 0 : numberOf(labels) === 0 ? 1 : null,
  },
  {
    format: "an arena's conversations",
    sides: ["conversation_a", "conversation_b"],
    verdict: ["winner"],
    better: ({ winner }) => placeOf(winner, ["model_a", "model_b"]),
  },
  {
    format: "responses with the better one's number",
    sides: ["response_0", "response_1"],
    verdict: ["better_response_id"],
    better: ({ better_response_id: id }) => placeOf(wordOf(id), ["0", "1"]),
  },
];

function twoSides({ value }: DatasetRow): TranslatedRow | null {
  const found = SIDES.find(({ sides, verdict }) => [...sides, ...verdict].every((n) => n in value));
  if (found === undefined) return null;
  const { format, sides, verdict, better } = found;
  const place = better(value);
  const rest = { ...value };
  for (const name of [...sides, ...verdict]) delete rest[name];
  return {
    format,
    columns: [...sides, ...verdict],
    pair: place === null ? null : {
      ...withPrompt(rest),
      chosen: value[sides[place]],
      rejected: value[sides[1 - place]],
    },
    answers: 2,
  };
}

function placeOf(text: unknown, names: readonly string[]): number | null {
  const place = names.indexOf(wordOf(text));
  return place < 0 ? null : place;
}

function at(value: unknown, ...path: string[]): unknown {
  return path.reduce((inner, key) => isObject(inner) ? inner[key] : undefined, value);
}

/** A number, also in text, as tables of text have it; NaN for everything else. */
function numberOf(value: unknown): number {
  if (typeof value === "string" && value.trim() !== "") return Number(value);
  return typeof value === "number" ? value : NaN;
}

/** A string or number as text; "" for everything else, which JSON can make unprintable. */
function wordOf(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? `${value}` : "";
}
