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
 * @throws {UserError} If the model has no template, or its template rejects the conversation.
 */
export function encodeChat(
  tokenizer: TextTokenizer,
  messages: readonly Message[],
  { addGenerationPrompt = true }: { addGenerationPrompt?: boolean } = {},
): number[] {
  if (tokenizer.chatTemplate === null) {
    throw new UserError("Expected a model with a chat template for messages, found none");
  }
  const options = { addGenerationPrompt, tokenizer };
  return tokenizer.encode(renderChat(tokenizer.chatTemplate, messages, options));
}

/** The ids that end a completion: those of the model's configuration and the tokenizer's own. */
export function stopIdsOf(
  { eosTokenIds }: { eosTokenIds: readonly number[] },
  tokenizer: TextTokenizer | null,
): number[] {
  const own = tokenizer?.eosTokenId ?? null;
  return own === null ? [...eosTokenIds] : [...new Set([...eosTokenIds, own])];
}
