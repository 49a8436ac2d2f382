// This module is browser compatible.
import { UserError } from "../errors.ts";
import { type Message, renderChat } from "./chat.ts";
import type { TextTokenizer } from "./tokenizer.ts";

/** Tokens of a text to continue, behind what the tokenizer puts in front of every text, once. */
export function encodeText(tokenizer: TextTokenizer, text: string): number[] {
  const ids = tokenizer.encode(text);
  const [first] = tokenizer.prefixIds;
  return first === undefined || ids[0] === first ? ids : [...tokenizer.prefixIds, ...ids];
}

/**
 * Tokens of a conversation as the model's chat template writes it.
 *
 * @param options.addGenerationPrompt Whether to end with what comes before an answer.
 * @param options.continueFinalMessage Whether to end within the last message, for the model to go on with it.
 * @throws {UserError} If the model has no template, or its template rejects the conversation.
 */
export function encodeChat(
  tokenizer: TextTokenizer,
  messages: readonly Message[],
  { addGenerationPrompt = true, continueFinalMessage = false } = {},
): number[] {
  if (tokenizer.chatTemplate === null) {
    throw new UserError("Expected a model with a chat template for messages, found none");
  }
  const options = { addGenerationPrompt, tokenizer };
  const text = renderChat(tokenizer.chatTemplate, messages, options);
  return tokenizer.encode(continueFinalMessage ? cutBehindLast(text, messages) : text);
}

/** The text up to the end of the last message, as `continue_final_message` of transformers has it. */
function cutBehindLast(text: string, messages: readonly Message[]): string {
  const last = messages.at(-1)!.content ?? "";
  if (last.trim() === "") {
    throw new UserError("Expected some text in the last message to continue it, found none");
  }
  const at = text.lastIndexOf(last.trim());
  const whole = last.trimStart(); // some templates cut blanks behind it
  if (at >= 0) return text.slice(0, at + (text.startsWith(whole, at) ? whole : last.trim()).length);
  throw new UserError(
    "Expected a chat template that writes the last message as it is, to continue it, found one that changes it",
  );
}
