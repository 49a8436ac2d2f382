// This module is browser compatible.

import { isObject } from "../../formats/json.ts";
import type { DatasetRow } from "../rows.ts";
import type { TranslatedRow } from "./translated.ts";
import { isAssistant, withPrompt } from "./values.ts";

/**
 * ms-swift's `{messages, rejected_response}`, in which the last message is the chosen answer, `{messages, rejected_messages}`
 * and `{query, response, rejected_response}`.
 */
export function swift({ value }: DatasetRow): TranslatedRow | null {
  const { messages, rejected_response: response, rejected_messages: others } = value;
  const other = response ?? others;
  if (other === undefined || "chosen" in value || "chosen_response" in value) return null;
  if (Array.isArray(messages)) {
    const last = messages.findLastIndex((message) => isObject(message) && isAssistant(message));
    const answers = Array.isArray(response) && response.every((item) => typeof item === "string")
      ? response.length + 1
      : 2;
    const { rejected_response: _1, rejected_messages: _2, ...rest } = value;
    const pair = others === undefined
      ? {
        prompt: messages.slice(0, Math.max(0, last)),
        chosen: messages.slice(Math.max(0, last)),
        rejected: response,
      }
      : { chosen: messages, rejected: others };
    return {
      format: `ms-swift's messages with ${
        response === undefined ? "rejected_messages" : "rejected_response"
      }`,
      columns: ["messages", response === undefined ? "rejected_messages" : "rejected_response"],
      pairs: [{ ...rest, ...pair }],
      ties: 0,
      answers,
    };
  }
  if (typeof value.response !== "string") return null;
  const { response: chosen, rejected_response: rejected, ...rest } = value;
  return {
    format: "ms-swift's response with rejected_response",
    columns: ["response", "rejected_response", "query"].filter((name) => name in value),
    pairs: [{ ...withPrompt(rest), chosen, rejected }],
    ties: 0,
    answers: 2,
  };
}
