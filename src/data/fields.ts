// This module is browser compatible.

/**
 * The values of a row's columns, checked.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import { describe, isObject } from "../formats/json.ts";
import type { Message } from "../text/chat.ts";
import type { DatasetRow } from "./rows.ts";

/** @throws {UserError} If the column holds something else; so do the functions below. */
export function stringIn(row: DatasetRow, column: string): string {
  const value = row.value[column];
  if (typeof value !== "string") {
    throw malformed(row, `"${column}" to be a string`, describe(value));
  }
  return wellFormed(row, column, value);
}

export function tokenIdsIn(row: DatasetRow, column: string): number[] {
  const value = row.value[column];
  if (!Array.isArray(value)) {
    throw malformed(row, `"${column}" to be a list of token ids`, describe(value));
  }
  const wrong = value.find((id) => !Number.isInteger(id) || id < 0 || id >= 2 ** 32);
  if (wrong !== undefined) throw malformed(row, `"${column}" to hold token ids`, describe(wrong));
  return value;
}

/** Schemas of functions that a model may call; none if the column is absent, or holds something else. */
export function toolsIn(row: DatasetRow, column: string): unknown[] | undefined {
  const value = row.value[column];
  return Array.isArray(value) && value.some(isObject) ? value : undefined;
}

/**
 * A list of messages, or one message; as `{role, content}`, or as ShareGPT's `{from, value}`. What else a message has goes to
 * the chat template as it is, nulls excepted. Content may be a list of text parts, and is null only beside tool calls.
 */
export function messagesIn(row: DatasetRow, column: string): Message[] {
  const value = row.value[column];
  const list = isObject(value) ? [value] : value;
  if (!Array.isArray(list)) {
    throw malformed(row, `"${column}" to be a list of messages`, describe(value));
  }
  return list.map((item) => {
    const message = isObject(item) ? messageOf(item) : null;
    if (message === null) {
      throw malformed(
        row,
        `"${column}" to hold messages with "role" and "content" as strings or text parts, or "value" and "from" as one of ${
          [...ROLES.keys()].slice(0, 5).join(", ")
        } and the like`,
        isObject(item) ? JSON.stringify(item).slice(0, 60) : describe(item),
      );
    }
    for (const text of textsIn(message)) wellFormed(row, column, text);
    return message;
  });
}

/** Whose messages programs mean, by what they call them. */
const ROLES: ReadonlyMap<string, string> = new Map(Object.entries({
  human: "user",
  gpt: "assistant",
  system: "system",
  user: "user",
  assistant: "assistant",
  prompter: "user",
  chatgpt: "assistant",
  model: "assistant",
  bot: "assistant",
  ai: "assistant",
  bard: "assistant",
  bing: "assistant",
  tool: "tool",
  observation: "tool",
  function_response: "tool",
  function_call: "assistant",
}));

function messageOf(
  { role, from, content, value, ...others }: Record<string, unknown>,
): Message | null {
  const named = role ?? from;
  if (typeof named !== "string") return null;
  const known = ROLES.get(named.toLowerCase());
  // What templates make of other roles is their affair, but ShareGPT's are no roles of templates.
  const whose = known ?? ((role ?? null) === null ? undefined : named);
  if (whose === undefined) return null;
  const isEmpty = (field: unknown) =>
    (field ?? null) === null || Array.isArray(field) && field.length === 0;
  const rest = Object.fromEntries(Object.entries(others).filter(([, field]) => !isEmpty(field)));
  if (typeof rest.tool_calls === "string") {
    const calls = jsonOrNull(rest.tool_calls);
    if (Array.isArray(calls) && calls.length > 0) rest.tool_calls = calls;
    else delete rest.tool_calls;
  }
  const text = textOf(content ?? value ?? null);
  if (named.toLowerCase() === "function_call" && text !== null) {
    const calls = callsOf(text);
    if (calls !== null) return { role: whose, content: "", tool_calls: calls, ...rest };
  }
  if (text === null && !("tool_calls" in rest && (content ?? null) === null)) return null;
  return { role: whose, content: text, ...rest };
}

/** Content as a string or as parts that are text. */
function textOf(content: unknown): string | null {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return null;
  const texts = content.map((part) => {
    if (typeof part === "string") return part;
    const isText = isObject(part) && (part.type ?? "text") === "text";
    return isText && typeof part.text === "string" ? part.text : null;
  });
  return texts.includes(null) ? null : texts.join("");
}

/** Calls as ShareGPT has them, a JSON object or a list of such in a string, as chat templates take them. */
function callsOf(text: string): unknown[] | null {
  const calls = [jsonOrNull(text)].flat();
  return calls.every((call) => isObject(call) && typeof call.name === "string")
    ? calls.map((call) => ({ type: "function", function: call }))
    : null;
}

function jsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function* textsIn(value: unknown): Generator<string> {
  if (typeof value === "string") yield value;
  else if (typeof value === "object" && value !== null) {
    for (const inner of Object.values(value)) yield* textsIn(inner);
  }
}

/** Columns besides those with messages that tables of text hold as JSON. */
const JSON_COLUMNS: ReadonlySet<string> = new Set([
  ...["tools", "prompt_ids", "chosen_ids", "rejected_ids", "input_ids", "generations", "ratings"],
  ...[
    "completions",
    "responses",
    "answers",
    "candidates",
    "scores",
    "ranks",
    "annotations",
    "data",
  ],
]);

/**
 * A row as it is meant: columns without a value left out, for tables write null where a row has none, and messages that are
 * written as JSON in a string taken as messages.
 *
 * @throws {UserError} If a string holds messages as Python prints them.
 */
export function plainRow(row: DatasetRow): DatasetRow {
  const value: Record<string, unknown> = {};
  for (const [column, field] of Object.entries(row.value)) {
    if (field === null || field === undefined) continue;
    value[column] = typeof field === "string" ? unpacked(row, column, field) : field;
  }
  return { where: row.where, value };
}

function unpacked(row: DatasetRow, column: string, text: string): unknown {
  if (!/^\s*[[{]/.test(text)) return text;
  if (/^\s*\[?\s*\{\s*'(?:role|from|content|value)'/.test(text)) {
    throw malformed(row, `messages in "${column}" as JSON`, "a list as Python prints it");
  }
  const value = jsonOrNull(text);
  const isMessage = (item: unknown) =>
    isObject(item) && ("role" in item && "content" in item || "from" in item && "value" in item);
  const items = [value].flat();
  const isMeant = JSON_COLUMNS.has(column) || items.length > 0 && items.every(isMessage);
  return value !== null && isMeant ? value : text;
}

/** JSON can spell halves of surrogate pairs, which no tokenizer has a token for, and NUL, which nobody writes. */
function wellFormed(row: DatasetRow, column: string, text: string): string {
  if (!text.isWellFormed()) {
    throw malformed(row, `"${column}" to be Unicode text`, "a lone surrogate");
  }
  const at = text.indexOf("\0");
  if (at < 0) return text;
  throw malformed(row, `"${column}" to be text`, `a NUL after ${at} characters`);
}

/** The complaint about a row, naming file and line. */
export function malformed(row: DatasetRow, expected: string, found: string): UserError {
  return new UserError(`Cannot use ${row.where}: expected ${expected}, found ${found}`);
}
