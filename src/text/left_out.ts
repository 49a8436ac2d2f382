// This module is browser compatible.

/**
 * What chat templates leave out of conversations: calls of tools, reasoning, the turns of a role.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import type { Message } from "./chat.ts";

/** What a message can say besides its content. */
const SAYING = ["tool_calls", "reasoning_content", "reasoning", "thinking", "function_call"];

export const isBlank = (text: string) => text.trim() === "";

export function saysSomething(message: Message): boolean {
  return !isBlank(message.content ?? "") || SAYING.some((field) => message[field] !== undefined);
}

/** What a chat template writes. */
export interface Conversation {
  messages: readonly Message[];
  tools?: readonly unknown[];
}

/**
 * Whether the text of a conversation is the same without something that it says. Only what is not found in the text as it
 * stands, such as calls of tools, takes rendering once more.
 *
 * @param text What the template makes of the conversation.
 * @param render Makes it of another one.
 */
export function leavesOut(
  { messages, tools }: Conversation,
  text: string,
  render: (messages: readonly Message[], tools: readonly unknown[] | undefined) => string,
): boolean {
  const isSameWith = (changed: Message, at: number) =>
    isSame(() => render(messages.map((message, i) => i === at ? changed : message), tools), text);
  // An empty list, as undefined would be the default.
  if (tools !== undefined && isSame(() => render(messages, []), text)) return true;
  return messages.some((message, at) => {
    const { content } = message;
    if (content !== null && !isBlank(content) && !text.includes(content.trim())) {
      if (isSameWith({ ...message, content: `${content}.` }, at)) return true;
    }
    return SAYING.some((field) => {
      const said = message[field];
      if (said === undefined) return false;
      if (typeof said === "string" && text.includes(said.trim())) return false;
      const { [field]: _said, ...others } = message;
      return isSameWith(others as Message, at);
    });
  });
}

/** Templates may refuse a conversation from which something was taken: then it said something. */
function isSame(render: () => string, text: string): boolean {
  try {
    return render() === text;
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
}
