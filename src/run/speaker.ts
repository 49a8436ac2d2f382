// This module is browser compatible.
/** A model that answers prompts, as `generate` does it. */
import type { Options } from "../config/resolve.ts";
import { loadModel } from "../model/load.ts";
import { UserError } from "../errors.ts";
import type { Completion } from "../generate/batcher.ts";
import { generate, type SamplingOptions } from "../generate/generate.ts";
import type { Model } from "../model/model.ts";
import { encodeChat, encodeText } from "../text/prompt.ts";
import { TextStream } from "../text/text_stream.ts";
import type { TextTokenizer } from "../text/tokenizer.ts";
import type { Emit } from "./events.ts";
import { openModel } from "./inputs.ts";
import type { OpenDevice, Ports, StoredModel } from "./ports.ts";

type GenerateOptions = Options<"generate">;

/** A model that can be asked, and what its prompts are made with. */
export interface Speaker {
  path: string;
  model: Model;
  tokenizer: TextTokenizer | null;
  stopIds: number[];
}

/** @param positions Tokens that a prompt and its answer may have together, of those that the model allows. */
export async function openSpeaker(
  path: string,
  options: GenerateOptions,
  { gpu, precision }: OpenDevice,
  { ports, emit }: { ports: Pick<Ports, "openModel">; emit: Emit },
  positions: (stored: StoredModel) => number,
): Promise<Speaker> {
  using stored = await openModel(path, ports, emit);
  const { config, tokenizer } = stored;
  const model = await loadModel(gpu, stored, {
    precision,
    positions: Math.min(positions(stored), config.maxPositionEmbeddings),
  });
  const stopIds = options.ignoreEos ? [] : stored.stopIds;
  return { path, model, tokenizer, stopIds };
}

/**
 * Answers one prompt.
 *
 * @param write Gets the text while it is made.
 */
export async function answer(
  { model, tokenizer, stopIds }: Speaker,
  prompt: readonly number[],
  options: GenerateOptions,
  { signal }: Pick<Ports, "signal">,
  write?: (text: string) => void,
): Promise<{ completion: Completion; note: string }> {
  const stream = write && tokenizer ? new TextStream(tokenizer) : null;
  const startMs = performance.now();
  const [completion] = await generate(model, [prompt], {
    ...sampling(options),
    maxNewTokens: options.maxNewTokens,
    stopIds,
    signal,
    onToken(_, id) {
      if (stream && !stopIds.includes(id)) write!(stream.push(id));
    },
  });
  if (stream) write!(stream.end());
  const { ids, finishReason } = completion;
  const rate = (1000 * ids.length / (performance.now() - startMs)).toPrecision(3);
  return { completion, note: `${ids.length} tokens (${finishReason}), ${rate} tokens/s` };
}

/** How the options draw tokens. */
export function sampling(options: GenerateOptions): SamplingOptions {
  const { temperature, topK, topP, minP, seed } = options;
  const { repetitionPenalty, frequencyPenalty, presencePenalty } = options;
  return {
    temperature,
    topK,
    topP,
    minP,
    repetitionPenalty,
    frequencyPenalty,
    presencePenalty,
    seed,
  };
}

/** The text of a completion without its end token; its ids where the model has no tokenizer. */
export function spoken(speaker: Speaker, completion: Completion): string {
  return answerOf(speaker, completion).text ?? completion.ids.join(",");
}

/** What a model answered. */
export interface Answer {
  /** Without the token that ended it; null if the model has no tokenizer. */
  text: string | null;
  /** Token ids, the one that ended it included. */
  ids: readonly number[];
  finishReason: Completion["finishReason"];
}

export function answerOf({ tokenizer }: Speaker, { ids, finishReason }: Completion): Answer {
  const words = finishReason === "stop" ? ids.slice(0, -1) : ids;
  return { text: tokenizer?.decode(words) ?? null, ids, finishReason };
}

/**
 * The tokens of the prompt that the options have, in the chat template if there is one.
 *
 * @param path How messages call the model.
 * @throws {UserError} If the model has no tokenizer for a text, or no chat template where one was asked for.
 */
export function encodePrompt(
  { prompt, promptIds, chat }: GenerateOptions,
  tokenizer: TextTokenizer | null,
  path: string,
): number[] {
  if (promptIds !== null) return [...promptIds];
  if (tokenizer === null) {
    throw new UserError(
      `Expected a tokenizer.json in ${path} for --prompt, found none: use --prompt-ids`,
    );
  }
  const template = tokenizer.chatTemplate;
  if (chat && template === null) {
    throw new UserError(
      `Expected a chat template in ${path} for --chat, found none: use --no-chat`,
    );
  }
  return template !== null && chat !== false
    ? encodeChat(tokenizer, [{ role: "user", content: prompt! }])
    : encodeText(tokenizer, prompt!);
}
