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

/** A list of messages, or one message; as `{role, content}`, or as ShareGPT's `{from, value}`. */
export function messagesIn(row: DatasetRow, column: string): Message[] {
  const value = row.value[column];
  const list = isObject(value) ? [value] : value;
  if (!Array.isArray(list)) {
    throw malformed(row, `"${column}" to be a list of messages`, describe(value));
  }
  return list.map((message) => {
    if (isObject(message)) {
      const role = message.role ?? ROLES.get(message.from);
      const content = message.content ?? message.value;
      if (typeof role === "string" && typeof content === "string") {
        return { role, content: wellFormed(row, column, content) };
      }
    }
    throw malformed(
      row,
      `"${column}" to hold messages with "role" and "content" as strings, or "value" and "from" as one of ${
        [...ROLES.keys()].join(", ")
      }`,
      isObject(message) ? JSON.stringify(message).slice(0, 60) : describe(message),
    );
  });
}

/** Whose messages ShareGPT's are. */
const ROLES = new Map<unknown, string>([
  ["human", "user"],
  ["gpt", "assistant"],
  ["system", "system"],
  ["user", "user"],
  ["assistant", "assistant"],
]);

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
