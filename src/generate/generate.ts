// This module is browser compatible.
import type { Sampling } from "../kernels/sample.ts";
import type { Model } from "../model/model.ts";
import { Batcher, type Completion } from "./batcher.ts";
import { Decoder, expectToken } from "./decoder.ts";
import { mostCacheRows } from "./kv_cache.ts";
import { checkPrompt, type Sequence } from "./sequences.ts";

/** How tokens are drawn; the sequence is the index of its prompt. */
export type SamplingOptions = Omit<Sampling, "sequence">;

export interface GenerateOptions extends SamplingOptions {
  maxNewTokens: number;
  /** A sequence ends with the first of these. */
  stopIds: readonly number[];
  /** Told of every token, in the order of its sequence, a few at a time. */
  onToken?: (sequence: number, id: number) => void;
  /** Ends the sequences as they are. */
  signal?: AbortSignal;
}

/**
 * Continues prompts. What a prompt is continued with depends on the model, the options and its index alone, to the last bit:
 * not on the other prompts.
 *
 * @param prompts Token ids.
 * @returns Completions in the order of the prompts.
 * @throws {UserError} If a prompt is empty, has an unknown id, or does not fit with its new tokens.
 * @throws {NonFiniteError} If NaN or infinity stands among the scores of a token.
 */
export async function generate(
  model: Model,
  prompts: readonly (readonly number[])[],
  { maxNewTokens, stopIds, onToken, signal, ...sampling }: GenerateOptions,
): Promise<Completion[]> {
  const { cacheRows, slots } = sizeFor(model, prompts, maxNewTokens);
  for (const prompt of prompts) checkPrompt(model, { prompt, maxNewTokens }, cacheRows);
  using batcher = new Batcher(model, { cacheRows, slots });
  const failed = new AbortController(); // ends the others
  const completions = prompts.map((prompt, sequence) =>
    batcher.add({
      prompt,
      maxNewTokens,
      stopIds,
      sampling: { ...sampling, sequence },
      signal: AbortSignal.any([failed.signal, ...signal ? [signal] : []]),
      onTokens: (tokens) => tokens.forEach(({ id }) => onToken?.(sequence, id)),
    }).catch((error) => {
      failed.abort();
      throw error;
    })
  );
  await Promise.allSettled(completions);
  return await Promise.all(completions);
}

/** A cache for all prompts together, or as many as the memory for cache and logits allows; one prompt may take more. */
export function sizeFor(
  model: Model,
  prompts: readonly (readonly number[])[],
  maxNewTokens: number,
): { cacheRows: number; slots: number } {
  const rows = prompts.map(({ length }) => length + maxNewTokens);
  const all = rows.reduce((sum, count) => sum + count, 0);
  const most = mostCacheRows(model);
  const cacheRows = Math.min(most.inOneBuffer, Math.max(...rows, Math.min(all, most.inBudget)));
  return {
    cacheRows,
    slots: Math.min(prompts.length, model.runtime.headRows),
  };
}

/**
 * The distribution that the first new token is drawn from, filtered as the options say.
 *
 * @returns Probabilities (V), 0 for tokens that are filtered out.
 * @throws {UserError} As {@link generate}.
 */
export async function nextTokenProbabilities(
  model: Model,
  prompt: readonly number[],
  sampling: SamplingOptions,
): Promise<Float32Array> {
  const { cacheRows } = sizeFor(model, [prompt], 0);
  checkPrompt(model, { prompt, maxNewTokens: 0 }, cacheRows);
  using decoder = new Decoder(model, cacheRows, 1);
  const [token] = await decoder.begin([sequenceOf(prompt, { ...sampling, sequence: 0 })]);
  expectToken(model, token, 0);
  return await decoder.probabilities(0);
}

/** A sequence that has the decoder to itself. */
function sequenceOf(prompt: readonly number[], sampling: Sampling): Sequence {
  return { prompt, ids: [], slot: 0, firstRow: 0, sampling, topLogprobs: null };
}
