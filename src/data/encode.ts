// This module is browser compatible.

import { UserError } from "../errors.ts";
import { type Message, renderChat } from "../text/chat.ts";
import type { TextTokenizer } from "../text/tokenizer.ts";
import type { Example } from "./examples.ts";
import { sharedLength } from "./prompt_boundary.ts";
import type { TokenSequence } from "./truncate.ts";

/** An example in tokens, not yet cut. */
export interface EncodedExample {
  /** One per completion. */
  sequences: TokenSequence[];
  /** Whether a completion says nothing: no token, or blank text. */
  hasEmptyCompletion: boolean;
  /** Whether tokens reach across the end of the prompt, so that the boundary had to move to the left. */
  boundaryMerged: boolean;
}

/**
 * Turns an example into tokens.
 *
 * - Text: prompt and completion are encoded one by one, so that no token crosses the boundary. The prompt begins with
 *   what the tokenizer puts in front of a text, exactly once; with `appendEos` the completion ends with the
 *   end-of-text token, exactly once.
 * - Messages: prompt and whole conversation are rendered by the chat template and encoded; the completion is what the
 *   conversation has beyond the prompt's tokens. Nothing is added: templates write their own end tokens.
 * - Tokens: used as they are.
 *
 * @throws {UserError} If the tokenizer, its chat template or its end-of-text token is needed and missing.
 */
export function encodeExample(
  example: Example,
  tokenizer: TextTokenizer | null,
  { appendEos }: { appendEos: boolean },
): EncodedExample {
  switch (example.kind) {
    case "tokens":
      return {
        sequences: example.completions.map((completion) => join(example.prompt, completion)),
        hasEmptyCompletion: example.completions.some((completion) => completion.length === 0),
        boundaryMerged: false,
      };
    case "text": {
      const { encode, prefixIds, eosTokenId } = required(tokenizer);
      if (appendEos && eosTokenId === null) {
        throw new UserError(
          "Cannot end completions: expected the tokenizer to name an eos_token, found none; name it in " +
            "tokenizer_config.json, or turn append-eos off",
        );
      }
      const prompt = encode(example.prompt);
      if (prompt[0] !== prefixIds[0]) prompt.unshift(...prefixIds);
      const sequences = example.completions.map((text) => {
        const completion = encode(text);
        if (appendEos && completion.at(-1) !== eosTokenId) {
          completion.push(eosTokenId!);
        }
        return join(prompt, completion);
      });
      return {
        sequences,
        hasEmptyCompletion: example.completions.some(isBlank),
        boundaryMerged: false,
      };
    }
    case "messages":
      return encodeMessages(example.prompt, example.completions, required(tokenizer));
  }
}

function encodeMessages(
  prompt: Message[],
  completions: Message[][],
  tokenizer: TextTokenizer,
): EncodedExample {
  const template = tokenizer.chatTemplate;
  if (template === null) {
    throw new UserError(
      "Cannot use message lists: expected a chat template in the model directory (tokenizer_config.json or " +
        "chat_template.jinja), found none; use a model that has one, or rows of text",
    );
  }
  let boundaryMerged = false;
  const sequences = completions.map((completion) => {
    const addGenerationPrompt = completion[0]?.role === "assistant";
    const render = (messages: Message[], addGenerationPrompt: boolean) =>
      tokenizer.encode(renderChat(template, messages, { addGenerationPrompt, tokenizer }));
    const promptIds = render(prompt, addGenerationPrompt);
    const ids = render([...prompt, ...completion], false);
    const shared = sharedLength(promptIds, ids, (a, b) => a === b);
    boundaryMerged ||= shared < promptIds.length;
    return join(ids.slice(0, shared), ids.slice(shared));
  });
  const isEmpty = (completion: Message[]) => completion.every(({ content }) => isBlank(content));
  return { sequences, hasEmptyCompletion: completions.some(isEmpty), boundaryMerged };
}

function join(prompt: readonly number[], completion: readonly number[]): TokenSequence {
  return {
    ids: Uint32Array.from([...prompt, ...completion]),
    promptLength: Math.max(1, prompt.length),
  };
}

function isBlank(text: string): boolean {
  return text.trim() === "";
}

function required(tokenizer: TextTokenizer | null): TextTokenizer {
  if (tokenizer !== null) return tokenizer;
  throw new UserError(
    "Cannot use rows of text: expected a tokenizer.json in the model directory, found none; " +
      "use rows of token ids, or add the tokenizer",
  );
}
