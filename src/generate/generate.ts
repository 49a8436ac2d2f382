// This module is browser compatible.
import type { Model } from "../model/model.ts";
import { Decoder, MOST_STEPS, type SamplingOptions } from "./decoder.ts";
import { batchSequences, checkPrompts, type Sequence, type SequenceBatch } from "./sequences.ts";

export interface GenerateOptions extends SamplingOptions {
  maxNewTokens: number;
  /** A sequence ends with the first of these. */
  stopIds: readonly number[];
  /** Told of every token, in the order of its sequence, a few at a time. */
  onToken?: (sequence: number, id: number) => void;
  /** Ends the sequences as they are. */
  signal?: AbortSignal;
}

/** What a prompt was continued with. */
export interface Completion {
  /** The new tokens; the stop id is among them. */
  ids: number[];
  finishReason: "stop" | "length" | "aborted";
}

/**
 * Continues prompts. What a prompt is continued with depends on the model, the options and its index alone, to the last bit:
 * not on the other prompts.
 *
 * @param prompts Token ids.
 * @returns Completions in the order of the prompts.
 * @throws {UserError} If a prompt is empty, has an unknown id, or does not fit with its new tokens.
 */
export async function generate(
  model: Model,
  prompts: readonly (readonly number[])[],
  options: GenerateOptions,
): Promise<Completion[]> {
  checkPrompts(model, prompts, options.maxNewTokens);
  const completions: Completion[] = [];
  for (const batch of batchSequences(model, prompts, options.maxNewTokens)) {
    completions.push(...await continueBatch(model, batch, options));
  }
  return completions;
}

async function continueBatch(
  model: Model,
  batch: SequenceBatch,
  { maxNewTokens, stopIds, onToken, signal, ...sampling }: GenerateOptions,
): Promise<Completion[]> {
  const stops = new Set(stopIds);
  const stopped = ({ ids }: Sequence) => ids.length > 0 && stops.has(ids.at(-1)!);
  const decoder = new Decoder(model, batch, sampling);
  let live = batch.sequences;
  let length = 0;
  for (let steps = 1; length < maxNewTokens && live.length > 0 && !signal?.aborted; steps *= 2) {
    const count = Math.min(steps, MOST_STEPS, maxNewTokens - length);
    const tokens = await decoder.next(live, count);
    for (const [b, sequence] of live.entries()) {
      for (const id of tokens.subarray(b * count, (b + 1) * count)) {
        if (stopped(sequence)) break;
        sequence.ids.push(id);
        onToken?.(sequence.index, id);
      }
    }
    length += count;
    live = live.filter((sequence) => !stopped(sequence));
  }
  return batch.sequences.map((sequence) => ({
    ids: sequence.ids,
    finishReason: stopped(sequence)
      ? "stop"
      : sequence.ids.length === maxNewTokens
      ? "length"
      : "aborted",
  }));
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
  checkPrompts(model, [prompt], 0);
  const [batch] = batchSequences(model, [prompt], 0);
  const decoder = new Decoder(model, batch, sampling);
  await decoder.next(batch.sequences, 1);
  return await decoder.probabilities(0);
}
