// This module is browser compatible.
import type { TokenSequence } from "../data/pairs.ts";
import { packSequences, scoredTokens } from "../dpo/pack.ts";
import type { Model } from "../model/model.ts";
import { Commands } from "../gpu/commands.ts";
import { readTensor } from "../gpu/tensor.ts";
import { uploadBatch } from "../model/batch.ts";
import { topForward, trunkForward } from "../model/forward.ts";
import { headForward } from "../model/head.ts";
import { scoreTensor } from "../model/model.ts";
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
  return (rows) => {
    const chunkRows = model.runtime.headRows;
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

/**
 * Mean negative log-likelihood of held-out sequences, in nats per scored token.
 *
 * @param batchSize Sequences computed together.
 */
export async function evaluateSft(
  model: Model,
  sequences: readonly TokenSequence[],
  { batchSize, scope }: { batchSize: number; scope: "completion" | "all" },
): Promise<Record<string, number>> {
  const { gpu, runtime, weights } = model;
  let loss = 0;
  let tokens = 0;
  for (let begin = 0; begin < sequences.length; begin += batchSize) {
    const part = sequences.slice(begin, begin + batchSize);
    const packed = packSequences(part, { scope, weight: 1, chunkRows: runtime.headRows });
    const batch = uploadBatch(gpu, runtime.workspace, packed);
    const scores = scoreTensor(model, "policy scores", part.length);
    const commands = new Commands(gpu);
    const trunk = trunkForward(commands, runtime, weights, batch, 0);
    const { y } = topForward(commands, runtime, weights, batch, trunk, 0, false);
    headForward(commands, runtime, weights, batch, scores, y);
    commands.submit();
    const sums = await readTensor(gpu, scores);
    for (let i = 0; i < part.length; i++) loss -= sums[4 * i];
    tokens += part.reduce((sum, sequence) => sum + scoredTokens(sequence, scope), 0);
  }
  return { eval_loss: loss / tokens, eval_tokens: tokens };
}
