// This module is browser compatible.

import { isObject } from "../../formats/json.ts";
import type { DatasetRow } from "../rows.ts";
import type { TranslatedRow } from "./translated.ts";
import { at, isAssistant, numberOf, type Values } from "./values.ts";

/** A rated message of Open WebUI. */
interface Rated {
  /** The messages of its conversation, by id. */
  all: [id: string, Values][];
  id: string;
  message: Values | undefined;
  /** 1, -1, or 0 if nobody said. */
  rating: number;
  prompt: unknown[];
}

const COLUMNS = ["data", "meta", "snapshot"];

/** @returns null if the row is none of Open WebUI's feedback. */
function ratedMessage(row: DatasetRow): Rated | null {
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
  const prompt: unknown[] = [];
  const visited = new Set<unknown>();
  for (let parent = message?.parentId; typeof parent === "string" && !visited.has(parent);) {
    visited.add(parent);
    const turn: unknown = messages[parent];
    if (!isObject(turn)) break;
    prompt.unshift({ role: turn.role, content: turn.content });
    parent = turn.parentId;
  }
  return { all, id, message, rating: Math.sign(numberOf(data.rating)) || 0, prompt };
}

const answerOf = ({ content }: Values) => [{ role: "assistant", content }];

/**
 * Feedback of Open WebUI, as its administration exports it: the rated message and one of its siblings, other answers to the
 * same message, that is not rated alike. A thumb with no sibling prefers nothing.
 */
export function openWebUi(row: DatasetRow): TranslatedRow | null {
  const rated = ratedMessage(row);
  if (rated === null) return null;
  const { all, id, message, rating, prompt } = rated;
  const ratingOf = (other: Values) => Math.sign(numberOf(at(other, "annotation", "rating")) || 0);
  const siblings = message === undefined
    ? []
    : all.filter(([key, other]) =>
      key !== id && other.parentId === message.parentId && isAssistant(other) &&
      typeof other.content === "string" && other.content !== ""
    ).map(([, other]) => other);
  const worse = siblings.filter((other) => ratingOf(other) !== rating);
  const [sibling] = worse.sort((a, b) => rating * (ratingOf(a) - ratingOf(b)));
  const sides = message === undefined || sibling === undefined || rating === 0
    ? null
    : rating > 0
    ? { chosen: answerOf(message), rejected: answerOf(sibling) }
    : { chosen: answerOf(sibling), rejected: answerOf(message) };
  return {
    format: "Open WebUI's feedback, the rated answer and its sibling",
    columns: COLUMNS,
    pairs: sides === null ? [] : [{ prompt, ...sides }],
    ties: 0,
    answers: siblings.length + 1,
  };
}

/** The same feedback as single answers: the rated message alone. */
export function openWebUiThumb(
  row: DatasetRow,
): { format: string; columns: string[]; rating: number; value: Values } | null {
  const rated = ratedMessage(row);
  if (rated === null) return null;
  const { message, rating, prompt } = rated;
  return {
    format: "Open WebUI's feedback, each rated answer",
    columns: COLUMNS,
    rating: message === undefined ? 0 : rating,
    value: { prompt, completion: answerOf(message ?? {}) },
  };
}
