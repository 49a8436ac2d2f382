// This module is browser compatible.
import { UserError } from "../errors.ts";
import { headChunkRows } from "../model/head.ts";
import type { Model } from "../model/model.ts";
import { mostCacheRows } from "./kv_cache.ts";

/** A sequence in work: a prompt, and what it was continued with so far. */
export interface Sequence {
  /** Which of all prompts it began with. */
  index: number;
  prompt: readonly number[];
  ids: number[];
  /** First row of its slot in the cache. */
  firstRow: number;
}

/** Sequences that are continued together, and the cache rows that they need. */
export interface SequenceBatch {
  sequences: Sequence[];
  rows: number;
}

/**
 * Checks prompts before any work.
 *
 * @throws {UserError} If one is empty, has an id that is not in the vocabulary, or leaves no room for the new tokens.
 */
export function checkPrompts(
  { weights: { config }, runtime }: Model,
  prompts: readonly (readonly number[])[],
  maxNewTokens: number,
): void {
  const { vocabSize, maxPositionEmbeddings } = config;
  const positions = Math.min(maxPositionEmbeddings, runtime.ropeTable.shape[0]);
  for (const [index, prompt] of prompts.entries()) {
    const name = prompts.length === 1 ? "The prompt" : `Prompt ${index}`;
    if (prompt.length === 0) {
      throw new UserError(`${name}: expected at least one token to continue, found none`);
    }
    const wrong = prompt.find((id) => !(id >>> 0 === id && id < vocabSize));
    if (wrong !== undefined) {
      throw new UserError(
        `${name}: expected token ids from 0 to ${
          vocabSize - 1
        }, the model's vocabulary, found ${wrong}`,
      );
    }
    if (prompt.length + maxNewTokens > positions) {
      throw new UserError(
        `${name}: expected at most ${positions} positions for prompt and new tokens, found ${prompt.length} + ` +
          `${maxNewTokens}: shorten the prompt or lower --max-new-tokens`,
      );
    }
  }
}

/**
 * Gives every prompt a slot for itself and its continuation, in as few batches as the memory for cache and logits allows.
 *
 * @throws {UserError} If a single sequence does not fit the cache.
 */
export function batchSequences(
  model: Model,
  prompts: readonly (readonly number[])[],
  maxNewTokens: number,
): SequenceBatch[] {
  const mostRows = mostCacheRows(model);
  const mostSequences = headChunkRows(model.weights.config.vocabSize);
  const batches: SequenceBatch[] = [];
  for (const [index, prompt] of prompts.entries()) {
    const slotRows = prompt.length + maxNewTokens;
    let batch = batches.at(-1);
    const full = batch && (batch.sequences.length === mostSequences ||
      batch.rows + slotRows > mostRows.inBudget);
    if (!batch || full) batches.push(batch = { sequences: [], rows: 0 });
    if (slotRows > mostRows.inOneBuffer) {
      throw new UserError(
        `Expected a key/value cache of at most ${mostRows.inOneBuffer} tokens on "${model.gpu.info.description}", found ` +
          `${prompt.length} + ${maxNewTokens}: shorten the prompt or lower --max-new-tokens`,
      );
    }
    batch.sequences.push({ index, prompt, ids: [], firstRow: batch.rows });
    batch.rows += slotRows;
  }
  return batches;
}
