// This module is browser compatible.

/**
 * The row shapes of text for next-token training.
 *
 * @module
 */

import { describe, isObject } from "../formats/json.ts";
import type { Message } from "../text/chat.ts";
import { answerIn, complete, hintOf, type ParsedRow, withNotes } from "./examples.ts";
import { malformed, messagesIn, plainRow, stringIn, tokenIdsIn } from "./fields.ts";
import { withoutRepeatedTurns } from "./repeated_prompts.ts";
import type { DatasetRow } from "./rows.ts";

/**
 * Understands a row for next-token training:
 *
 * - `{text}`;
 * - `{prompt, completion}` as strings or as message lists, or one as the one and one as the other;
 * - `{messages}` or `{conversations}`: the prompt is everything before the last answer, and what follows that is left out;
 * - `{instruction, input?, output}` as turns;
 * - `{input_ids, prompt_length?}`: token ids, of which the first `prompt_length` (0 if absent) are the prompt.
 *
 * Rows that are marked as bad, with `label` false, are left out. Null is absent.
 *
 * @throws {UserError} If the row has none of these shapes; the message names file and line.
 */
export function parseSequence(row: DatasetRow): ParsedRow {
  const plain = plainRow(row);
  const parsed = parseUnlabeled(plain);
  if (plain.value.label !== false || parsed.columns.includes("label")) return parsed;
  return { ...parsed, example: null, columns: [...parsed.columns, "label"] };
}

/**
 * The same whatever the label is.
 *
 * @param row Without nulls.
 */
export function parseUnlabeled(row: DatasetRow): ParsedRow {
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
    const prompt = turns.slice(0, last);
    const parsed = sequenceOf(row, "messages", prompt, [turns[last]], [conversation]);
    return withNotes(parsed, last < turns.length - 1 ? ["turnsLeftOut"] : []);
  }
  const columns = ["prompt", "completion"];
  const isList = (column: string) => Array.isArray(value[column]) || isObject(value[column]);
  if (columns.some(isList)) {
    const prompt = typeof value.prompt === "string"
      ? [{ role: "user", content: stringIn(row, "prompt") }]
      : messagesIn(row, "prompt");
    const format = columns.every(isList) ? "messages with prompt" : "messages and text";
    const completion = answerIn(row, "completion");
    return withoutRepeatedTurns(sequenceOf(row, format, prompt, completion, columns));
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
  if ("instruction" in value && "output" in value) {
    const about = "input" in value ? stringIn(row, "input") : "";
    const text = stringIn(row, "instruction") + (about.trim() === "" ? "" : `\n${about}`);
    const prompt = [{ role: "user", content: text }];
    const names = ["instruction", "input", "output"];
    return sequenceOf(row, "instruction with output", prompt, answerIn(row, "output"), names);
  }
  throw malformed(
    row,
    '"text", "messages", "prompt" and "completion", "instruction" and "output", or "input_ids"',
    (Object.keys(value).join(", ") || "an empty row") + hintOf(row),
  );
}

function sequenceOf(
  row: DatasetRow,
  format: string,
  prompt: Message[],
  completion: Message[],
  columns: string[],
): ParsedRow {
  return complete(
    { format, example: { kind: "messages", prompt, completions: [completion] }, columns },
    row,
    {},
  );
}
