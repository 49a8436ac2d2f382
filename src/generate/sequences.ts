// This module is browser compatible.
import { UserError } from "../errors.ts";
import type { Sampling } from "../kernels/sample.ts";
import { mostTokensTogether } from "../model/forward.ts";
import type { Model } from "../model/model.ts";

/** A sequence in work: a prompt, and what it was continued with so far. */
export interface Sequence {
  prompt: readonly number[];
  ids: number[];
  /** Which of the decoder's slots counts its tokens. */
  slot: number;
  /** First of its rows in the cache. */
  firstRow: number;
  /** Rows of the cache that hold keys and values of the prompt's beginning, from the prompt of an earlier sequence. */
  prefix?: { firstRow: number; length: number };
  sampling: Sampling;
  /** Added to the scores of tokens. */
  bias?: ReadonlyMap<number, number>;
  /** How many likeliest tokens to tell with each token's log-probability; null: neither. */
  topLogprobs: number | null;
}

/** Positions that a sequence may have on this model. */
export function mostPositions({ weights: { config }, runtime }: Model): number {
  return Math.min(config.maxPositionEmbeddings, runtime.ropeTable.shape[0]);
}

/**
 * @param what Holds the ids, as "a prompt".
 * @throws {UserError} If one of the ids is not in the vocabulary.
 */
export function checkIds(what: string, ids: Iterable<number>, vocabSize: number): void {
  for (const id of ids) {
    if (id >>> 0 === id && id < vocabSize) continue;
    throw new UserError(
      `Expected ${what} of token ids from 0 to ${
        vocabSize - 1
      }, the model's vocabulary, found ${id}`,
    );
  }
}

/** What can be checked of a request before any work. */
interface Asked extends Partial<Pick<Sequence, "bias">> {
  prompt: readonly number[];
  maxNewTokens: number;
}

/**
 * Checks a prompt before any work.
 *
 * @param cacheRows Tokens that the cache holds.
 * @throws {UserError} If it is empty or too long for the device, has an id that is not in the vocabulary, or leaves no room
 * for the new tokens.
 */
export function checkPrompt(
  model: Model,
  { prompt, maxNewTokens, bias = new Map() }: Asked,
  cacheRows: number,
): void {
  const { vocabSize } = model.weights.config;
  if (prompt.length === 0) {
    throw new UserError("Expected a prompt of at least one token to continue, found none");
  }
  checkIds("a prompt", prompt, vocabSize);
  checkIds("a bias", bias.keys(), vocabSize);
  const rows = prompt.length + maxNewTokens;
  const positions = mostPositions(model);
  if (rows > positions) {
    throw new UserError(
      `Expected at most ${positions} positions for prompt and new tokens, found ${prompt.length} + ${maxNewTokens}: ` +
        `shorten the prompt or lower --max-new-tokens`,
    );
  }
  if (rows > cacheRows) {
    throw new UserError(
      `Expected a key/value cache of at most ${cacheRows} tokens on "${model.gpu.info.description}", found ` +
        `${prompt.length} + ${maxNewTokens}: shorten the prompt or lower --max-new-tokens`,
    );
  }
  const together = mostTokensTogether(model.gpu, model.weights);
  if (prompt.length > together) {
    throw new UserError(
      `Expected a prompt of at most ${together} tokens, as many as "${model.gpu.info.description}" computes together ` +
        `in a model of this width, found ${prompt.length}: shorten the prompt`,
    );
  }
}
