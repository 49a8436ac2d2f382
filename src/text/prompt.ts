// This module is browser compatible.
import { UserError } from "../errors.ts";
import { type Message, renderChat } from "./chat.ts";
import { leavesOut } from "./left_out.ts";
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
 * @param options.tools Schemas of functions for the template.
 * @throws {UserError} If the model has no template, or its template rejects the conversation, or writes nothing of tools and
 * their calls.
 */
export function encodeChat(
  tokenizer: TextTokenizer,
  messages: readonly Message[],
  { addGenerationPrompt = true, continueFinalMessage = false, tools }: {
    addGenerationPrompt?: boolean;
    continueFinalMessage?: boolean;
    tools?: readonly unknown[];
  } = {},
): number[] {
  if (tokenizer.chatTemplate === null) {
    throw new UserError("Expected a model with a chat template for messages, found none");
  }
  const template = tokenizer.chatTemplate;
  const options = { addGenerationPrompt, tools, tokenizer };
  const text = renderChat(template, messages, options);
  // Of reasoning in former turns templates may leave out what they like.
  const ofTools = messages.map(({ role, content, tool_calls }) =>
    tool_calls === undefined ? { role, content } : { role, content, tool_calls }
  );
  const hasTools = tools !== undefined ||
    messages.some(({ role, tool_calls }) => role === "tool" || tool_calls !== undefined);
  const render = (messages: readonly Message[], tools?: readonly unknown[]) =>
    renderChat(template, messages, { ...options, tools });
  if (hasTools && leavesOut({ messages: ofTools, tools }, render(ofTools, tools), render)) {
    throw new UserError(
      "Expected a chat template that knows tools and their calls, found one that writes nothing of them: the model would " +
        "not see them",
    );
  }
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
