/** From a request to text: what both completion routes do with tokens. */
import type { Completion } from "../src/generate/batcher.ts";
import type { DrawnToken } from "../src/generate/decoder.ts";
import { checkIds } from "../src/generate/sequences.ts";
import { TextStream } from "../src/text/text_stream.ts";
import type { PooledModel } from "../src/serve/model_pool.ts";
import { type Api, inTime, tokenizerOf } from "./api.ts";
import { ApiError } from "./errors.ts";
import type { SamplingFields } from "./schemas.ts";

/** Characters of a prompt that are tokenized at all: some texts take a tokenizer quadratic time. */
export const MOST_PROMPT_CHARACTERS = 1 << 16;

/** @throws {ApiError} 400 if the text is too long to be tokenized. */
export function checkPromptText(text: string): string {
  if (text.length <= MOST_PROMPT_CHARACTERS) return text;
  throw new ApiError(
    400,
    `Expected a prompt of at most ${MOST_PROMPT_CHARACTERS} characters, found ${text.length}`,
  );
}

/** A token of an answer. */
export interface AnswerToken extends DrawnToken {
  /** Where its characters begin in the answer's text. */
  begin: number;
  /** Whether the text has it: not the token that ends the answer, nor a special one that is skipped. */
  shown: boolean;
  /** Whether the answer ends with it. */
  ends: boolean;
}

/** A part of an answer: what can be shown now, and the tokens that it came from. */
export interface Piece {
  text: string;
  tokens: AnswerToken[];
}

/** A whole answer. */
export interface Answer extends Piece {
  finishReason: Completion["finishReason"];
  completionTokens: number;
  /** Tokens of the prompt that were known from earlier requests. */
  cachedTokens: number;
}

export interface Question {
  asked: PooledModel;
  fields: SamplingFields;
  prompt: readonly number[];
  /** Which of the request's sequences; each draws its own way. */
  sequence: number;
  seed: number;
  bias: ReadonlyMap<number, number>;
  stopIds: readonly number[];
  maxNewTokens: number;
  topLogprobs: number | null;
  onPiece?: (piece: Piece) => void;
  signal: AbortSignal;
}

/** @returns The seed of a request, drawn where it has none. */
export function seedOf({ seed }: SamplingFields): number {
  return seed == null ? crypto.getRandomValues(new Uint32Array(1))[0] : seed >>> 0;
}

/** @throws {UserError} If a token is not in the model's vocabulary. */
export function biasOf({ model }: PooledModel, { logit_bias }: SamplingFields): Question["bias"] {
  const bias = new Map(Object.entries(logit_bias ?? {}).map(([id, value]) => [Number(id), value]));
  checkIds("logit_bias", bias.keys(), model.vocabSize);
  return bias;
}

/**
 * @returns Tokens that end an answer.
 * @throws {UserError} If one is not in the model's vocabulary.
 */
export function stopIdsOf(
  { model, stopIds }: PooledModel,
  { ignore_eos, stop_token_ids }: SamplingFields,
): number[] {
  checkIds("stop_token_ids", stop_token_ids ?? [], model.vocabSize);
  return [...ignore_eos ? [] : stopIds, ...stop_token_ids ?? []];
}

/**
 * How many new tokens a request may have.
 *
 * @param options.fallback Where the request says nothing, as far as it fits.
 * @param options.param The field that has the prompt, or the wish.
 * @throws {ApiError} 400 if prompt and wish do not fit the model.
 */
export function roomFor(
  { model }: PooledModel,
  prompt: readonly number[],
  wish: number | null | undefined,
  { fallback = Infinity, param = "messages" } = {},
): number {
  const room = model.positions - prompt.length;
  if (room < (wish ?? 1)) {
    const asked = wish ?? 1;
    throw new ApiError(
      400,
      // Clients know this error by OpenAI's words.
      `This model's maximum context length is ${model.positions} tokens. However, you requested ${
        prompt.length + asked
      } tokens (${prompt.length} in the prompt, ${asked} in the completion). Please shorten one of them.`,
      { code: "context_length_exceeded", param },
    );
  }
  return wish ?? Math.min(fallback, room);
}

/**
 * Generates, watches for stop strings, and hands out text in whole characters.
 *
 * @throws {ApiError} 504 if it takes too long.
 */
export async function answer(api: Api, question: Question): Promise<Answer> {
  const { serving, metrics } = api;
  const { asked, fields, prompt, stopIds, maxNewTokens, topLogprobs, onPiece, signal } = question;
  const tokenizer = tokenizerOf(asked);
  const stops = new StopStrings(
    typeof fields.stop === "string" ? [fields.stop] : fields.stop ?? [],
  );
  const stream = new TextStream(tokenizer);
  const enough = new AbortController();
  const began = performance.now();
  const skipped = fields.skip_special_tokens === false ? new Set() : tokenizer.specialIds;
  const whole: Piece = { text: "", tokens: [] };
  /** Tokens whose text may yet turn out to be behind the end. */
  let held: AnswerToken[] = [];
  let characters = 0;
  const emit = (text: string, isEnd: boolean) => {
    whole.text += text;
    const isOut = ({ begin }: AnswerToken) => begin < whole.text.length || isEnd && !stops.found;
    const tokens = held.filter(isOut);
    held = held.filter((token) => !isOut(token));
    whole.tokens.push(...tokens);
    if (text !== "" || tokens.length > 0) onPiece?.({ text, tokens });
  };
  let completionTokens = 0;
  let isLate = false;
  const generating = serving.generate(asked.model.name, {
    prompt,
    maxNewTokens,
    stopIds,
    sampling: {
      temperature: fields.temperature ?? 1,
      topP: fields.top_p ?? 1,
      topK: Math.max(0, fields.top_k ?? 0), // -1 is vLLM's word for all
      minP: fields.min_p ?? 0,
      repetitionPenalty: fields.repetition_penalty ?? 1,
      frequencyPenalty: fields.frequency_penalty ?? 0,
      presencePenalty: fields.presence_penalty ?? 0,
      seed: question.seed,
      sequence: question.sequence,
    },
    bias: question.bias,
    topLogprobs,
    signal: AbortSignal.any([signal, enough.signal]),
    onTokens(tokens) {
      if (completionTokens === 0) {
        metrics.firstTokenSeconds.observe((performance.now() - began) / 1000);
      }
      for (const token of tokens) {
        if (stops.found || isLate) return;
        completionTokens++;
        metrics.completionTokens.inc();
        const ends = stopIds.includes(token.id);
        const shown = !ends && !skipped.has(token.id);
        held.push({ ...token, begin: characters, shown, ends });
        const text = shown ? stream.push(token.id) : "";
        characters += text.length;
        emit(stops.push(text), false);
        if (stops.found) enough.abort();
      }
    },
  });
  const { finishReason, cachedTokens } = await inTime(api, generating, () => {
    isLate = true;
    enough.abort();
  });
  if (!stops.found) emit(stops.push(stream.end()) + stops.end(), true);
  metrics.promptTokens.inc(prompt.length);
  return {
    ...whole,
    finishReason: stops.found ? "stop" : finishReason,
    completionTokens,
    cachedTokens,
  };
}

/** Passes text on up to the first stop string, and holds back an end that may become one. */
export class StopStrings {
  #held = "";
  found = false;

  constructor(readonly stops: readonly string[]) {}

  /** @returns The text that can go out now. */
  push(text: string): string {
    if (this.found) return "";
    this.#held += text;
    const ends = this.stops.map((stop) => this.#held.indexOf(stop)).filter((at) => at >= 0);
    if (ends.length > 0) {
      this.found = true;
      return this.#release(Math.min(...ends));
    }
    let held = 0; // characters at the end that begin a stop string
    for (const stop of this.stops) {
      for (let length = Math.min(stop.length - 1, this.#held.length); length > held; length--) {
        if (this.#held.endsWith(stop.slice(0, length))) held = length;
      }
    }
    return this.#release(this.#held.length - held);
  }

  /** @returns What was held back, when nothing follows. */
  end(): string {
    return this.found ? "" : this.#release(this.#held.length);
  }

  #release(length: number): string {
    const out = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    return out;
  }
}

/** What a request used, as OpenAI counts it: a prompt once, however many answers it has. */
export function usageOf(promptTokens: number, answers: readonly Answer[]) {
  const sum = (key: "completionTokens" | "cachedTokens") =>
    answers.reduce((total, answer) => total + answer[key], 0);
  const completionTokens = sum("completionTokens");
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: Math.min(promptTokens, sum("cachedTokens")) },
  };
}
