// This module is browser compatible.

import { UserError } from "../errors.ts";
import { type Message, renderChat } from "../text/chat.ts";
import { isBlank, leavesOut, saysSomething } from "../text/left_out.ts";
import type { TextTokenizer } from "../text/tokenizer.ts";
import type { Example } from "./examples.ts";
import type { PromptBoundary } from "./prompt_boundary.ts";
import { sharedLength } from "./shared_length.ts";
import type { TokenSequence } from "./truncate.ts";

/** An example in tokens, not yet cut. */
export interface EncodedExample {
  /** One per completion. */
  sequences: TokenSequence[];
  /** Whether a completion says nothing: no token, or blank text. */
  hasEmptyCompletion: boolean;
  /** Whether tokens reach across the end of the prompt, so that the boundary had to move to the left. */
  boundaryMerged: boolean;
  /** Whether the chat template opens an answer with what it does not write in a conversation that has the answer. */
  openingDropped?: boolean;
  /** Whether the chat template writes nothing of something that a message says. */
  lostInTemplate?: boolean;
}

/** How texts become tokens. */
export interface EncodeOptions {
  /** Whether completions given as text end with the tokenizer's end-of-text token. */
  appendEos: boolean;
  /** Whether prompt and completion are encoded one by one, or as one text; see {@link encodeExample}. */
  tokenize?: "separate" | "joint";
  /** "trl": where a joint encoding differs from the prompt's own, do as TRL does. */
  promptBoundary?: PromptBoundary;
  /** The time that a chat template may print, in ms since 1970; default: the present. */
  now?: number;
  /** Tokens that end a completion when the model answers; default: the tokenizer's own. */
  stopIds?: readonly number[];
}

/**
 * Turns an example into tokens.
 *
 * - Text: the prompt begins with what the tokenizer puts in front of a text, exactly once; with `appendEos` the
 *   completion ends with the end-of-text token, exactly once.
 * - Messages: prompt and whole conversation are rendered by the chat template; the completion is what the conversation
 *   has beyond the prompt. Nothing is added: templates write their own beginnings and ends.
 * - Tokens: used as they are.
 *
 * Encoded one by one, as a model meets them when it answers, no token crosses the end of the prompt. Encoded as one text,
 * the completion begins with the first token that is not the prompt's own, so a token across the boundary is the
 * completion's; TRL instead keeps the prompt's tokens and takes from the whole what comes after as many. A tokenizer that
 * marks the beginning of every text has to encode prompt and completion as one.
 *
 * @throws {UserError} If the tokenizer, its chat template or its end-of-text token is needed and missing.
 */
export function encodeExample(
  example: Example,
  tokenizer: TextTokenizer | null,
  options: EncodeOptions,
): EncodedExample {
  switch (example.kind) {
    case "tokens":
      return {
        sequences: example.completions.map((completion) => join(example.prompt, completion)),
        hasEmptyCompletion: example.completions.some((completion) => completion.length === 0),
        boundaryMerged: false,
      };
    case "text":
      return encodeText(example.prompt, example.completions, required(tokenizer), options);
    case "messages":
      return encodeMessages(example, required(tokenizer), options);
  }
}

/**
 * {@link encodeExample} for an example of a dataset, whose row is named where a template refuses it.
 *
 * @param row.where How messages call the row.
 */
export function encodeRow(
  { example, where }: { example: Example; where: string },
  tokenizer: TextTokenizer | null,
  options: EncodeOptions,
): EncodedExample {
  try {
    return encodeExample(example, tokenizer, options);
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${error.message} (${where})`) : error;
  }
}

/** The rules by which rows of a kind become tokens, in words. */
export function encodingInWords(
  kind: Example["kind"],
  tokenizer: TextTokenizer | null,
  options: EncodeOptions,
): string {
  if (kind === "tokens" || tokenizer === null) return "token ids as they are, nothing added";
  const names = tokenizer.prefixIds.map((id) => tokenizer.token(id)).join("");
  const marks = kind === "messages"
    ? templateInWords(tokenizer, options)
    : `${names === "" ? "no begin token" : `begin ${names} once`}, ${
      options.appendEos ? `end ${tokenizer.eosToken} once` : "no end token"
    }`;
  const apart = isSeparate(tokenizer, options)
    ? "prompt and completion encoded one by one"
    : "prompt and completion encoded as one text";
  return `${marks}; ${apart}`;
}

/** What a chat template really writes before a conversation and behind an answer. */
function templateInWords(tokenizer: TextTokenizer, options: EncodeOptions): string {
  const { eosTokenId, specialIds, bosTokenId } = tokenizer;
  const stops = new Set([...options.stopIds ?? [], ...eosTokenId === null ? [] : [eosTokenId]]);
  let ids: number[], answer: number[];
  try {
    const { sequences: [{ ids: all, promptLength }] } = encodeMessages(
      {
        kind: "messages",
        prompt: [{ role: "user", content: "a" }],
        completions: [[{ role: "assistant", content: "b" }]],
      },
      tokenizer,
      options,
    );
    [ids, answer] = [[...all], [...all.subarray(promptLength)]];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return "the chat template takes no conversation of one turn, so what it writes at the ends is not known";
  }
  const begin = ids[0] === bosTokenId
    ? `${tokenizer.token(ids[0])} at the beginning`
    : "no begin token";
  const last = answer.findLast((id) => specialIds.has(id) || stops.has(id));
  const end = last === undefined
    ? "no end token, so that nothing teaches the model to stop"
    : `${tokenizer.token(last)} behind an answer${
      stops.has(last) ? "" : ", which does not stop this model"
    }`;
  return `the chat template writes ${begin} and ${end}`;
}

function isSeparate(tokenizer: TextTokenizer, { tokenize = "separate" }: EncodeOptions): boolean {
  const spelling = tokenizer.encode("a").map(tokenizer.token).join("");
  return tokenize === "separate" && spelling === "a";
}

function encodeText(
  prompt: string,
  completions: string[],
  tokenizer: TextTokenizer,
  options: EncodeOptions,
): EncodedExample {
  const { encode, prefixIds, eosTokenId } = tokenizer;
  if (options.appendEos && eosTokenId === null) {
    throw new UserError(
      "Cannot end completions: expected the tokenizer to name an eos_token, found none; name it in " +
        "tokenizer_config.json, or turn append-eos off",
    );
  }
  const begun = (ids: number[]) => ids[0] === prefixIds[0] ? ids : [...prefixIds, ...ids];
  const promptIds = begun(encode(prompt));
  const separate = isSeparate(tokenizer, options);
  const divided = separate
    ? completions.map((text) => ({ prompt: promptIds, completion: encode(text) }))
    : divide(completions.map((text) => [promptIds, begun(encode(prompt + text))]), options);
  const sequences = divided.map(({ prompt, completion }) => {
    if (options.appendEos && completion.at(-1) !== eosTokenId) completion.push(eosTokenId!);
    return join(prompt, completion);
  });
  const boundaryMerged = divided.some(({ prompt }) => prompt.length < promptIds.length);
  return { sequences, hasEmptyCompletion: completions.some(isBlank), boundaryMerged };
}

function encodeMessages(
  { prompt, completions, tools }: Extract<Example, { kind: "messages" }>,
  tokenizer: TextTokenizer,
  options: EncodeOptions,
): EncodedExample {
  const template = tokenizer.chatTemplate;
  if (template === null) {
    throw new UserError(
      "Cannot use message lists: expected a chat template in the model directory (tokenizer_config.json or " +
        "chat_template.jinja), found none; use a model that has one, or rows of text",
    );
  }
  const { encode } = tokenizer;
  const separate = isSeparate(tokenizer, options);
  let lostInTemplate = false, openingDropped = false;
  const render = (
    messages: readonly Message[],
    addGenerationPrompt: boolean,
    given: readonly unknown[] | undefined = tools,
  ) => {
    const now = new Date(options.now ?? Date.now());
    return renderChat(template, messages, { addGenerationPrompt, tools: given, tokenizer, now });
  };
  const texts = completions.map((completion) => {
    const conversation = [...prompt, ...completion];
    const beginning = render(prompt, completion[0]?.role === "assistant");
    const whole = render(conversation, false);
    lostInTemplate ||= leavesOut(
      { messages: conversation, tools },
      whole,
      (messages, given) => render(messages, false, given),
    );
    openingDropped ||= !whole.startsWith(beginning);
    return { beginning, whole };
  });
  const prompts = texts.map(({ beginning }) => encode(beginning));
  const isApart = separate && texts.every(({ beginning, whole }) => whole.startsWith(beginning));
  const divided = isApart
    ? texts.map(({ beginning, whole }, i) => ({
      prompt: prompts[i],
      completion: encode(whole.slice(beginning.length)),
    }))
    : divide(texts.map(({ whole }, i) => [prompts[i], encode(whole)]), options);
  const sequences = divided.map(({ prompt, completion }) => join(prompt, completion));
  const boundaryMerged = divided.some(({ prompt }, i) => prompt.length < prompts[i].length);
  return {
    sequences,
    hasEmptyCompletion: completions.some((completion) => !completion.some(saysSomething)),
    boundaryMerged,
    lostInTemplate,
    openingDropped,
  };
}

/**
 * Divides the tokens of whole texts where those of the prompt end: each after what it shares with them, or, as TRL does since
 * 1.14, all after what the one shares that shares the least.
 *
 * @param texts The tokens of the prompt alone, and with a completion behind it.
 */
function divide(
  texts: readonly (readonly [prompt: readonly number[], whole: readonly number[]])[],
  { promptBoundary }: EncodeOptions,
): { prompt: readonly number[]; completion: number[] }[] {
  const shared = texts.map(([prompt, whole]) => sharedLength(prompt, whole));
  return texts.map(([prompt, whole], i) => {
    const end = promptBoundary === "trl" ? Math.min(...shared) : shared[i];
    return { prompt: prompt.slice(0, end), completion: whole.slice(end) };
  });
}

function join(prompt: readonly number[], completion: readonly number[]): TokenSequence {
  return {
    ids: Uint32Array.from([...prompt, ...completion]),
    promptLength: Math.max(1, prompt.length),
  };
}

function required(tokenizer: TextTokenizer | null): TextTokenizer {
  if (tokenizer !== null) return tokenizer;
  throw new UserError(
    "Cannot use rows of text: expected a tokenizer.json in the model directory, found none; " +
      "use rows of token ids, or add the tokenizer",
  );
}
