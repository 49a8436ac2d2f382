// This module is browser compatible.

/**
 * Prompts that stand in the answers again.
 *
 * @module
 */

import { describe } from "../formats/json.ts";
import type { Message } from "../text/chat.ts";
import { type ParsedRow, withNotes } from "./examples.ts";
import { malformed } from "./fields.ts";
import { ASSISTANT, sameMessage } from "./prompt_boundary.ts";
import type { DatasetRow } from "./rows.ts";

/** A prompt beside whole conversations may only say again what is in them. */
export function checkRepeated(row: DatasetRow, prompt: string, turns: Message[]): void {
  const text = row.value[prompt];
  const isSaid = ({ role, content }: Message) =>
    role === "user" && typeof text === "string" && content?.trim() === text.trim();
  if (turns.some(isSaid)) return;
  throw malformed(
    row,
    `"${prompt}" to be a message list or a user message of the conversations`,
    `${describe(text)}; --prompt-column none leaves it out`,
  );
}

/** Leaves out what answers repeat of their prompt, whole conversations beside a prompt as they are. */
export function withoutRepeatedTurns(parsed: ParsedRow): ParsedRow {
  const { example } = parsed;
  if (example?.kind !== "messages" || example.prompt.length === 0) return parsed;
  const { prompt, completions } = example;
  const begins = (turns: readonly Message[], from: number) =>
    turns.length > from + prompt.length &&
    prompt.every((message, i) => sameMessage(message, turns[from + i]));
  // Whole conversations may begin with a system message that the prompt lacks.
  const [{ [0]: first }] = completions;
  const own =
    completions.every((turns) =>
        turns[0]?.role === "system" && sameMessage(turns[0], first) && begins(turns, 1)
      )
      ? 1
      : 0;
  const isRepeated = completions.map((turns) => begins(turns, own));
  if (!isRepeated.includes(true)) return parsed;
  return withNotes({
    ...parsed,
    example: {
      ...example,
      prompt: [...completions[0].slice(0, own), ...prompt],
      completions: completions.map((turns, side) =>
        isRepeated[side] ? turns.slice(own + prompt.length) : turns
      ),
    },
  }, ["repeatedPrompts"]);
}

/** The same for text: a dialogue is surely repeated; an answer may begin with a question to make a sentence of it. */
export function withoutRepeatedText(parsed: ParsedRow, text: string): ParsedRow {
  const { example } = parsed;
  if (!example || !/\S\s+\S/.test(text)) return parsed;
  const textOf = (completion: string | Message[] | number[]) =>
    typeof completion === "string" ? completion : (completion[0] as Message).content ?? "";
  if (!example.completions.every((completion) => textOf(completion).startsWith(text))) {
    return parsed;
  }
  if (example.kind !== "text" || !text.includes(ASSISTANT)) {
    return withNotes(parsed, ["echoedPrompts"]);
  }
  const completions = example.completions.map((answer) => answer.slice(text.length));
  return withNotes({ ...parsed, example: { ...example, completions } }, ["repeatedPrompts"]);
}
