// This module is browser compatible.

/**
 * Where the prompt ends in two whole conversations that begin alike.
 *
 * @module
 */

import { describe } from "../formats/json.ts";
import type { Message } from "../text/chat.ts";
import { malformed } from "./fields.ts";
import type { DatasetRow } from "./rows.ts";
import { sharedLength } from "./shared_length.ts";

/**
 * How an implicit prompt is found: `turns`, where both go on with an answer; or `trl`, where TRL's `extract_prompt` cuts,
 * for runs to be compared with it.
 */
export type PromptBoundary = "turns" | "trl";

/** A prompt and what follows it on both sides. */
export interface SplitPair<T> {
  prompt: T;
  completions: [T, T];
}

/** What opens an answer in the texts of Anthropic's HH-RLHF (arXiv:2204.05862). */
export const ASSISTANT = "\n\nAssistant:";

/**
 * Splits two dialogue texts after the last opening of an answer that both share: never inside a turn.
 *
 * @throws {UserError} If they share none.
 */
export function splitDialogue(
  row: DatasetRow,
  chosen: string,
  rejected: string,
): SplitPair<string> {
  const shared = sharedLength(chosen, rejected, (a, b) => a === b);
  const marker = chosen.slice(0, shared).lastIndexOf(ASSISTANT);
  if (marker < 0) {
    throw malformed(
      row,
      `a "prompt", or ${describe(ASSISTANT)} at the end of a beginning that both texts share`,
      "neither",
    );
  }
  return splitAt(chosen, rejected, marker + ASSISTANT.length);
}

/**
 * Splits two conversations after the last turn that both share, where both go on with an answer.
 *
 * @throws {UserError} If there is no such place.
 */
export function splitConversation(
  row: DatasetRow,
  chosen: Message[],
  rejected: Message[],
): SplitPair<Message[]> {
  let end = sharedLength(chosen, rejected, sameMessage);
  const answers = () => chosen[end]?.role === "assistant" && rejected[end]?.role === "assistant";
  while (end > 0 && !answers()) end--;
  if (end === 0) {
    throw malformed(
      row,
      "conversations that share a beginning, then both go on with an answer",
      "none",
    );
  }
  return splitAt(chosen, rejected, end);
}

/**
 * Splits two texts exactly as TRL 1.x does: at the first character that differs, wherever in a word it is, and one before
 * if a space precedes it. Where one text begins with the other, the last character of the shorter goes to the answers;
 * where the first characters differ and `chosen` ends with a space, all but that space becomes the prompt.
 */
export function splitTextLikeTrl(chosen: string, rejected: string): SplitPair<string> {
  // Python counts code points.
  const [a, b] = [Array.from(chosen), Array.from(rejected)];
  let end = firstDifference(a, b, (x, y) => x === y);
  if (a[end] !== b[end] && a.at(end - 1) === " ") end--;
  const { prompt, completions } = splitAt(a, b, end);
  return {
    prompt: prompt.join(""),
    completions: [completions[0].join(""), completions[1].join("")],
  };
}

/** {@link splitTextLikeTrl} for conversations: at the first turn that differs. */
export function splitMessagesLikeTrl(chosen: Message[], rejected: Message[]): SplitPair<Message[]> {
  return splitAt(chosen, rejected, firstDifference(chosen, rejected, sameMessage));
}

/** As {@link sharedLength}, but TRL's loop does not get past the last element. */
function firstDifference<T>(a: T[], b: T[], same: (a: T, b: T) => boolean): number {
  return Math.min(sharedLength(a, b, same), Math.max(0, Math.min(a.length, b.length) - 1));
}

/** Whether two messages say the same; those without tool calls and the like have two fields. */
export function sameMessage(a: Message, b: Message): boolean {
  if (a.role !== b.role || a.content !== b.content) return false;
  const [inA, inB] = [a, b].map((message) => Object.keys(message).sort());
  return inA.length === inB.length &&
    inA.every((key, i) => key === inB[i] && JSON.stringify(a[key]) === JSON.stringify(b[key]));
}

/** @param end Negative numbers count from the end of each, as in Python. */
function splitAt<T extends string | unknown[]>(chosen: T, rejected: T, end: number): SplitPair<T> {
  const tail = (whole: T) => whole.slice(end) as T;
  return { prompt: chosen.slice(0, end) as T, completions: [tail(chosen), tail(rejected)] };
}
