// This module is browser compatible.

/** What the tools' rows have in common. */

import { isObject } from "../../formats/json.ts";

export type Values = Record<string, unknown>;

/** Other names of the prompt, where none of the usual ones is there. */
export function withPrompt(value: Values): Values {
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

export const isAssistant = ({ role, from }: Values) =>
  /^(assistant|gpt|chatgpt|model|bot)$/i.test(wordOf(role ?? from));

export function at(value: unknown, ...path: string[]): unknown {
  return path.reduce((inner, key) => isObject(inner) ? inner[key] : undefined, value);
}

/** A number, also in text, as tables of text have it; NaN for everything else. */
export function numberOf(value: unknown): number {
  if (typeof value === "string" && value.trim() !== "") return Number(value);
  return typeof value === "number" ? value : NaN;
}

/** A string or number as text; "" for everything else, which JSON can make unprintable. */
export function wordOf(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? `${value}` : "";
}
