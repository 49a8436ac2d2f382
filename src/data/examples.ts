// This module is browser compatible.

/**
 * The row shapes of datasets, and what they have in common: a prompt and its completions, one or two.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import { describe, isObject } from "../formats/json.ts";
import type { Message } from "../text/chat.ts";
import type { DatasetRow } from "./rows.ts";

/** A prompt with its completions, in the form that the row has them. */
export type Example =
  | { kind: "text"; prompt: string; completions: string[] }
  | { kind: "messages"; prompt: Message[]; completions: Message[][] }
  | { kind: "tokens"; prompt: number[]; completions: number[][] };

/** A row that was understood. */
export interface ParsedRow {
  example: Example;
  /** The shape, in words. */
  format: string;
}

/** What opens an answer in the texts of Anthropic's HH-RLHF (arXiv:2204.05862). */
const ASSISTANT = "\n\nAssistant:";

/**
 * Understands a row of preference data:
 *
 * - `{prompt, chosen, rejected}` as strings or as message lists;
 * - `{chosen, rejected}` as HH-RLHF texts: the prompt ends with the last "\n\nAssistant:" that both share;
 * - `{chosen, rejected}` as message lists: the prompt is the turns that both share, up to an answer. A `prompt` string
 *   beside them is taken as the first user message that it repeats;
 * - `{prompt_ids, chosen_ids, rejected_ids}`: token ids, prompt and completions apart.
 *
 * @throws {UserError} If the row has none of these shapes; the message names file and line.
 */
export function parsePair(row: DatasetRow): ParsedRow {
  const { prompt, chosen, rejected } = row.value;
  if ("prompt_ids" in row.value || "chosen_ids" in row.value) {
    const [prompt, ...completions] = ["prompt_ids", "chosen_ids", "rejected_ids"].map((field) =>
      tokenIds(row, field)
    );
    return { format: "token ids", example: { kind: "tokens", prompt, completions } };
  }
  if (typeof chosen === "string" && typeof rejected === "string") {
    if (prompt === undefined) return splitDialogue(row, [chosen, rejected]);
    return {
      format: "text with prompt",
      example: { kind: "text", prompt: string(row, "prompt"), completions: [chosen, rejected] },
    };
  }
  if (Array.isArray(chosen) && Array.isArray(rejected)) {
    const completions = [messages(row, "chosen"), messages(row, "rejected")];
    if (Array.isArray(prompt)) {
      return {
        format: "messages with prompt",
        example: { kind: "messages", prompt: messages(row, "prompt"), completions },
      };
    }
    return splitConversation(row, completions);
  }
  throw malformed(
    row,
    '"chosen" and "rejected" as two strings or two message lists, or "prompt_ids", "chosen_ids" and "rejected_ids"',
    `chosen: ${describe(chosen)}, rejected: ${describe(rejected)}`,
  );
}

/**
 * Understands a row for next-token training:
 *
 * - `{text}`;
 * - `{prompt, completion}` as strings or as message lists;
 * - `{messages}`: the prompt is everything before the last answer;
 * - `{input_ids, prompt_length?}`: token ids, of which the first `prompt_length` (0 if absent) are the prompt.
 *
 * @throws {UserError} If the row has none of these shapes; the message names file and line.
 */
export function parseSequence(row: DatasetRow): ParsedRow {
  const { value } = row;
  if ("input_ids" in value) {
    const ids = tokenIds(row, "input_ids");
    const length = value.prompt_length ?? 0;
    if (!Number.isInteger(length) || (length as number) < 0 || (length as number) > ids.length) {
      throw malformed(row, `"prompt_length" from 0 to ${ids.length}`, describe(length));
    }
    const [prompt, completion] = [ids.slice(0, length as number), ids.slice(length as number)];
    return { format: "token ids", example: { kind: "tokens", prompt, completions: [completion] } };
  }
  if ("messages" in value) {
    const turns = messages(row, "messages");
    const last = turns.findLastIndex(({ role }) => role === "assistant");
    if (last < 0) throw malformed(row, 'a message of the "assistant"', "none");
    return {
      format: "messages",
      example: { kind: "messages", prompt: turns.slice(0, last), completions: [turns.slice(last)] },
    };
  }
  if (Array.isArray(value.prompt)) {
    const [prompt, completion] = [messages(row, "prompt"), messages(row, "completion")];
    return {
      format: "messages with prompt",
      example: { kind: "messages", prompt, completions: [completion] },
    };
  }
  if ("prompt" in value || "completion" in value) {
    const [prompt, completion] = [string(row, "prompt"), string(row, "completion")];
    return {
      format: "text with prompt",
      example: { kind: "text", prompt, completions: [completion] },
    };
  }
  if ("text" in value) {
    const completions = [string(row, "text")];
    return { format: "text", example: { kind: "text", prompt: "", completions } };
  }
  throw malformed(
    row,
    '"text", "messages", "prompt" and "completion", or "input_ids"',
    Object.keys(value).join(", ") || "an empty row",
  );
}

function splitDialogue(row: DatasetRow, [chosen, rejected]: [string, string]): ParsedRow {
  const shared = sharedLength(chosen, rejected, (a, b) => a === b);
  const marker = chosen.slice(0, shared).lastIndexOf(ASSISTANT);
  if (marker < 0) {
    throw malformed(
      row,
      `a "prompt", or ${describe(ASSISTANT)} at the end of a beginning that both texts share`,
      "neither",
    );
  }
  const end = marker + ASSISTANT.length;
  return {
    format: `dialogue text, prompt up to the last shared ${describe(ASSISTANT)}`,
    example: {
      kind: "text",
      prompt: chosen.slice(0, end),
      completions: [chosen.slice(end), rejected.slice(end)],
    },
  };
}

function splitConversation(row: DatasetRow, [chosen, rejected]: Message[][]): ParsedRow {
  const first = chosen.find(({ role }) => role === "user")?.content;
  if (row.value.prompt !== undefined && row.value.prompt !== first) {
    throw malformed(
      row,
      '"prompt" to be a message list or the first user message',
      describe(row.value.prompt),
    );
  }
  let end = sharedLength(
    chosen,
    rejected,
    (a, b) => a.role === b.role && a.content === b.content,
  );
  const answers = () => chosen[end]?.role === "assistant" && rejected[end]?.role === "assistant";
  while (end > 0 && !answers()) end--;
  if (end === 0) {
    throw malformed(
      row,
      "conversations that share a beginning, then both go on with an answer",
      "none",
    );
  }
  return {
    format: "messages, shared turns as prompt",
    example: {
      kind: "messages",
      prompt: chosen.slice(0, end),
      completions: [chosen.slice(end), rejected.slice(end)],
    },
  };
}

/** How many first elements of `a` and `b` are the same. */
export function sharedLength<T>(
  a: ArrayLike<T>,
  b: ArrayLike<T>,
  same: (a: T, b: T) => boolean,
): number {
  let length = 0;
  while (length < a.length && length < b.length && same(a[length], b[length])) length++;
  return length;
}

function string(row: DatasetRow, field: string): string {
  const value = row.value[field];
  if (typeof value !== "string") throw malformed(row, `"${field}" to be a string`, describe(value));
  return value;
}

function tokenIds(row: DatasetRow, field: string): number[] {
  const value = row.value[field];
  if (!Array.isArray(value)) {
    throw malformed(row, `"${field}" to be a list of token ids`, describe(value));
  }
  const wrong = value.find((id) => !Number.isInteger(id) || id < 0 || id >= 2 ** 32);
  if (wrong !== undefined) throw malformed(row, `"${field}" to hold token ids`, describe(wrong));
  return value;
}

function messages(row: DatasetRow, field: string): Message[] {
  const value = row.value[field];
  if (!Array.isArray(value)) {
    throw malformed(row, `"${field}" to be a list of messages`, describe(value));
  }
  return value.map((message) => {
    if (
      !isObject(message) || typeof message.role !== "string" || typeof message.content !== "string"
    ) {
      const found = isObject(message) ? JSON.stringify(message).slice(0, 60) : describe(message);
      throw malformed(
        row,
        `"${field}" to hold messages with "role" and "content" as strings`,
        found,
      );
    }
    return { role: message.role, content: message.content };
  });
}

function malformed(row: DatasetRow, expected: string, found: string): UserError {
  return new UserError(`Cannot use ${row.where}: expected ${expected}, found ${found}`);
}
