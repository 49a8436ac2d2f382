// This module is browser compatible.
import type { TokenSequence } from "../data/pairs.ts";
import { packSequences, scoredTokens } from "../dpo/pack.ts";
import { headChunkRows } from "../model/head.ts";
import type { Model } from "../model/model.ts";
import type { MakeStep } from "./loop.ts";
import type { Optimizer } from "./optimizer.ts";
import { SftBatch } from "./sft_batch.ts";

/**
 * Steps of next-token training: the loss is the mean over all scored tokens of the step, however they are spread over
 * micro-batches.
 */
export function sftSteps(
  model: Model,
  optimizer: Optimizer,
  sequences: readonly TokenSequence[],
  { batchSize, scope }: { batchSize: number; scope: "completion" | "all" },
): MakeStep {
  const chunkRows = headChunkRows(model.weights.config.vocabSize);
  return (rows) => {
    const chosen = Array.from(rows, (row) => sequences[row]);
    const scored = chosen.reduce((sum, sequence) => sum + scoredTokens(sequence, scope), 0);
    let loss = 0;
    const microBatches: SftBatch[] = [];
    for (let begin = 0; begin < chosen.length; begin += batchSize) {
      const part = chosen.slice(begin, begin + batchSize);
      const packed = packSequences(part, { scope, weight: 1 / scored, chunkRows });
      microBatches.push(new SftBatch(packed, optimizer, (share) => loss += share));
    }
    const tokens = chosen.reduce((sum, { ids }) => sum + ids.length, 0);
    return { microBatches, tokens, metrics: () => ({ loss }) };
  };
}
