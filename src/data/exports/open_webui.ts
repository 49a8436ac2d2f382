// This module is browser compatible.

import { isObject } from "../../formats/json.ts";
import type { DatasetRow } from "../rows.ts";
import type { TranslatedRow } from "./translated.ts";
import { at, isAssistant, numberOf, type Values } from "./values.ts";

/**
 * Feedback of Open WebUI, as its administration exports it: the rated message and one of its siblings, other answers to the
 * same message, that is not rated alike. A thumb with no sibling prefers nothing.
 */
export function openWebUi(row: DatasetRow): TranslatedRow | null {
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
    pairs: sides === null ? [] : [{ prompt, ...sides }],
    ties: 0,
    answers: siblings.length + 1,
  };
}
