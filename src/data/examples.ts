// This module is browser compatible.

/**
 * The row shapes of datasets, and what they have in common: a prompt and its completions, one or two.
 *
 * @module
 */

import { describe, isObject } from "../formats/json.ts";
import type { Message } from "../text/chat.ts";
import { findColumns, type FoundColumns, isTurn, type NamedColumns } from "./columns.ts";
import { malformed, messagesIn, stringIn, tokenIdsIn } from "./fields.ts";
import {
  ASSISTANT,
  type PromptBoundary,
  splitConversation,
  splitDialogue,
  splitMessagesLikeTrl,
  splitTextLikeTrl,
} from "./prompt_boundary.ts";
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
  /** The columns that say something. */
  columns: string[];
}

/** How preference rows are to be understood. */
export interface ParseOptions {
  /** Columns that the user named; see `findColumns`. */
  columns?: NamedColumns;
  /** How prompts are found that have no column of their own; by turns if absent. */
  promptBoundary?: PromptBoundary;
}

/**
 * Understands a row of preference data:
 *
 * - `{prompt, chosen, rejected}` as strings or as message lists;
 * - `{chosen, rejected}` as HH-RLHF texts or as message lists, whole conversations: see `PromptBoundary`. A `prompt`
 *   string beside message lists is taken as the first user message that it repeats;
 * - the same with other names of columns, see `findColumns`. Where a column is a turn by its name (`question`,
 *   `instruction`, `input`) or a `system` message is beside it, strings become a conversation;
 * - `{conversations, chosen, rejected}`, ShareGPT's messages with one message as each answer;
 * - `{input: {messages}, preferred_output, non_preferred_output}`, as OpenAI's fine-tuning takes them;
 * - `{prompt_ids, chosen_ids, rejected_ids}`: token ids, prompt and completions apart.
 *
 * @throws {UserError} If the row has none of these shapes; the message names file and line.
 */
export function parsePair(row: DatasetRow, options: ParseOptions = {}): ParsedRow {
  const { columns: named = {}, promptBoundary = "turns" } = options;
  if ("prompt_ids" in row.value || "chosen_ids" in row.value) {
    const columns = ["prompt_ids", "chosen_ids", "rejected_ids"];
    const [prompt, ...completions] = columns.map((column) => tokenIdsIn(row, column));
    return { format: "token ids", example: { kind: "tokens", prompt, completions }, columns };
  }
  if ("preferred_output" in row.value || "non_preferred_output" in row.value) {
    return parseOpenAi(row);
  }
  const found = findColumns(row, named);
  const { prompt, chosen = "chosen", rejected = "rejected", system } = found;
  const [valueA, valueB] = [row.value[chosen], row.value[rejected]];
  const columns = [prompt, chosen, rejected, system].filter((column) => column !== undefined);
  const understood = (format: string, example: Example): ParsedRow => ({
    format: format + renamed(found),
    example: withSystemMessage(example, system === undefined ? "" : stringIn(row, system)),
    columns,
  });
  if (typeof valueA === "string" && typeof valueB === "string") {
    const [a, b] = [stringIn(row, chosen), stringIn(row, rejected)];
    if (prompt === undefined) {
      if (system !== undefined) {
        throw malformed(
          row,
          "a prompt beside the system message",
          "none; name it with --prompt-column",
        );
      }
      return promptBoundary === "trl"
        ? understood("text, prompt up to the first difference as in TRL", {
          kind: "text",
          ...splitTextLikeTrl(a, b),
        })
        : understood(`dialogue text, prompt up to the last shared ${describe(ASSISTANT)}`, {
          kind: "text",
          ...splitDialogue(row, a, b),
        });
    }
    const text = stringIn(row, prompt);
    return system === undefined && !isTurn(prompt, named)
      ? understood("text with prompt", { kind: "text", prompt: text, completions: [a, b] })
      : understood("text as turns of a conversation", {
        kind: "messages",
        prompt: [{ role: "user", content: text }],
        completions: [a, b].map((content) => [{ role: "assistant", content }]),
      });
  }
  // Beside a list of messages, an answer may be one message.
  const hasMessages = prompt !== undefined && Array.isArray(row.value[prompt]);
  const isAnswer = (value: unknown) => Array.isArray(value) || hasMessages && isObject(value);
  if (isAnswer(valueA) && isAnswer(valueB)) {
    const [turns, others] = [messagesIn(row, chosen), messagesIn(row, rejected)];
    if (hasMessages) {
      const shared = messagesIn(row, prompt);
      return understood("messages with prompt", {
        kind: "messages",
        prompt: shared,
        completions: [turns, others],
      });
    }
    if (promptBoundary === "trl") {
      return understood("messages, prompt up to the first different turn as in TRL", {
        kind: "messages",
        ...splitMessagesLikeTrl(turns, others),
      });
    }
    if (prompt !== undefined) checkRepeated(row, prompt, turns);
    return understood("messages, shared turns as prompt", {
      kind: "messages",
      ...splitConversation(row, turns, others),
    });
  }
  throw malformed(
    row,
    '"chosen" and "rejected" as two strings or two message lists, or "prompt_ids", "chosen_ids" and "rejected_ids"',
    `${chosen}: ${describe(valueA)}, ${rejected}: ${describe(valueB)} (columns: ${
      Object.keys(row.value).join(", ") || "none"
    })`,
  );
}

function parseOpenAi(row: DatasetRow): ParsedRow {
  const { input } = row.value;
  if (!isObject(input)) {
    throw malformed(row, '"input" to be an object with "messages"', describe(input));
  }
  const columns = ["preferred_output", "non_preferred_output"];
  return {
    format: "OpenAI's preference rows",
    example: {
      kind: "messages",
      prompt: messagesIn({ ...row, value: input }, "messages"),
      completions: columns.map((column) => messagesIn(row, column)),
    },
    columns: ["input", ...columns],
  };
}

/** Where the parts are, if not in the columns of their own names. */
function renamed(found: FoundColumns): string {
  const others = Object.entries(found).filter(([role, column]) => role !== column);
  if (others.length === 0 && found.system === undefined) return "";
  const places = Object.entries(found).map(([role, column]) => `${role} in "${column}"`);
  return ` (${places.join(", ")})`;
}

function withSystemMessage(example: Example, system: string): Example {
  if (example.kind !== "messages" || system.trim() === "") return example;
  if (example.prompt[0]?.role === "system") return example;
  return { ...example, prompt: [{ role: "system", content: system }, ...example.prompt] };
}

/** A prompt beside whole conversations may only say again what is in them. */
function checkRepeated(row: DatasetRow, prompt: string, turns: Message[]): void {
  const first = turns.find(({ role }) => role === "user")?.content;
  if (row.value[prompt] === first) return;
  throw malformed(
    row,
    `"${prompt}" to be a message list or the first user message`,
    `${describe(row.value[prompt])}; --prompt-column none leaves it out`,
  );
}

/**
 * Understands a row for next-token training:
 *
 * - `{text}`;
 * - `{prompt, completion}` as strings or as message lists;
 * - `{messages}` or `{conversations}`: the prompt is everything before the last answer;
 * - `{input_ids, prompt_length?}`: token ids, of which the first `prompt_length` (0 if absent) are the prompt.
 *
 * @throws {UserError} If the row has none of these shapes; the message names file and line.
 */
export function parseSequence(row: DatasetRow): ParsedRow {
  const { value } = row;
  if ("input_ids" in value) {
    const ids = tokenIdsIn(row, "input_ids");
    const length = value.prompt_length ?? 0;
    if (!Number.isInteger(length) || (length as number) < 0 || (length as number) > ids.length) {
      throw malformed(row, `"prompt_length" from 0 to ${ids.length}`, describe(length));
    }
    const [prompt, completion] = [ids.slice(0, length as number), ids.slice(length as number)];
    return {
      format: "token ids",
      example: { kind: "tokens", prompt, completions: [completion] },
      columns: ["input_ids", "prompt_length"],
    };
  }
  const conversation = ["messages", "conversations"].find((column) => column in value);
  if (conversation !== undefined) {
    const turns = messagesIn(row, conversation);
    const last = turns.findLastIndex(({ role }) => role === "assistant");
    if (last < 0) throw malformed(row, 'a message of the "assistant"', "none");
    return {
      format: "messages",
      example: { kind: "messages", prompt: turns.slice(0, last), completions: [turns.slice(last)] },
      columns: [conversation],
    };
  }
  const columns = ["prompt", "completion"];
  if (Array.isArray(value.prompt)) {
    const [prompt, completion] = columns.map((column) => messagesIn(row, column));
    return {
      format: "messages with prompt",
      example: { kind: "messages", prompt, completions: [completion] },
      columns,
    };
  }
  if ("prompt" in value || "completion" in value) {
    const [prompt, completion] = columns.map((column) => stringIn(row, column));
    return {
      format: "text with prompt",
      example: { kind: "text", prompt, completions: [completion] },
      columns,
    };
  }
  if ("text" in value) {
    const completions = [stringIn(row, "text")];
    return {
      format: "text",
      example: { kind: "text", prompt: "", completions },
      columns: ["text"],
    };
  }
  throw malformed(
    row,
    '"text", "messages", "prompt" and "completion", or "input_ids"',
    Object.keys(value).join(", ") || "an empty row",
  );
}
