/// <reference lib="deno.worker" />
/** Renders a few conversations with a chat template that may be hostile; see chat_template.ts for why in a worker. */
import { UserError } from "../errors.ts";
import { type Message, renderChat } from "../text/chat.ts";
import type { TemplateTrial } from "./chat_template.ts";

const turns = (count: number): Message[] =>
  Array.from({ length: count }, (_, i) => ({
    role: i % 2 === 0 ? "user" : "assistant",
    content: `Turn ${i}, with <tags>, "quotes" and {{ braces }}.\n`,
  }));

const CONVERSATIONS = [
  turns(1),
  turns(2),
  [{ role: "system", content: "Be brief." }, ...turns(3)],
  turns(64),
];

self.onmessage = ({ data: { template, tokenizer } }: MessageEvent<TemplateTrial>) => {
  for (const messages of CONVERSATIONS) {
    for (const addGenerationPrompt of [false, true]) {
      try {
        renderChat(template, messages, { addGenerationPrompt, tokenizer });
      } catch (error) {
        // A template may refuse a conversation; one that has to be rendered will be refused then, with its row.
        if (!(error instanceof UserError)) throw error;
      }
    }
  }
  self.postMessage("rendered");
};

self.postMessage("ready");
