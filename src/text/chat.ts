// This module is browser compatible.

import { UserError } from "../errors.ts";
import { BoundedTemplate } from "./bounded_template.ts";
import type { TextTokenizer } from "./tokenizer.ts";

/** One turn of a conversation, as chat templates know it. */
export interface Message {
  role: string;
  /** Null beside tool calls. */
  content: string | null;
  /** What else templates write: `tool_calls`, `reasoning_content`, a tool's `name`, ... */
  readonly [field: string]: unknown;
}

const parsed = new Map<string, BoundedTemplate>();

/**
 * Turns a conversation into text as `apply_chat_template` of transformers does.
 *
 * @param template A Jinja template, usually `tokenizer.chatTemplate`.
 * @param options.addGenerationPrompt Whether to end with what comes before an answer.
 * @param options.tools Schemas of functions that the model may call.
 * @param options.now The time that the template may print; default: the present.
 * @param options.tokenizer Whose special tokens the template may name.
 * @throws {UserError} If the template has a mistake, rejects the conversation, or does not come to an end.
 */
export function renderChat(
  template: string,
  messages: readonly Message[],
  { addGenerationPrompt, tools = null, tokenizer, now = new Date() }: {
    addGenerationPrompt: boolean;
    tools?: readonly unknown[] | null;
    now?: Date;
    tokenizer: Pick<TextTokenizer, "bosToken" | "eosToken" | "padToken">;
  },
): string {
  try {
    let program = parsed.get(template);
    if (program === undefined) parsed.set(template, program = new BoundedTemplate(template));
    return program.render({
      messages,
      tools,
      documents: null,
      add_generation_prompt: addGenerationPrompt,
      bos_token: tokenizer.bosToken ?? "",
      eos_token: tokenizer.eosToken ?? "",
      pad_token: tokenizer.padToken ?? "",
    }, now);
  } catch (error) {
    throw new UserError(
      `Cannot apply the chat template to a conversation of ${
        messages.map(({ role }) => role).join(", ") || "no turns"
      }: ${(error as Error).message}${
        messages.some(({ content }) => content === null)
          ? "; a message has tool calls and no content, which the template may not know"
          : ""
      }`,
    );
  }
}
