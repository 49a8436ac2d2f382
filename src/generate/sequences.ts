// This module is browser compatible.
import { UserError } from "../errors.ts";
import type { Sampling } from "../kernels/sample.ts";
import type { Model } from "../model/model.ts";

/** A sequence in work: a prompt, and what it was continued with so far. */
export interface Sequence {
  prompt: readonly number[];
  ids: number[];
  /** Which of the decoder's slots remembers what it has said. */
  slot: number;
  /** First of its rows in the cache. */
  firstRow: number;
  /** Rows of the cache that hold keys and values of the prompt's beginning, from the prompt of an earlier sequence. */
  known?: { firstRow: number; length: number };
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
 * Checks a prompt before any work.
 *
 * @param cacheRows Tokens that the cache holds.
 * @throws {UserError} If it is empty, has an id that is not in the vocabulary, or leaves no room for the new tokens.
 */
export function checkPrompt(
  model: Model,
  { prompt, maxNewTokens }: { prompt: readonly number[]; maxNewTokens: number },
  cacheRows: number,
): void {
  const { vocabSize } = model.weights.config;
  if (prompt.length === 0) {
    throw new UserError("Expected a prompt of at least one token to continue, found none");
  }
  const wrong = prompt.find((id) => !(id >>> 0 === id && id < vocabSize));
  if (wrong !== undefined) {
    throw new UserError(
      `Expected a prompt of token ids from 0 to ${
        vocabSize - 1
      }, the model's vocabulary, found ${wrong}`,
    );
  }
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
}
