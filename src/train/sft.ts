// This module is browser compatible.
import { type BatchLimits, divide } from "../data/divide.ts";
import type { TextRow } from "../data/sequences.ts";
import { expectFinite, findNotFinite } from "../dpo/finite.ts";
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

/** Of scores as sequence_score writes them, what is looked at; its weights make the first one the loss. */
const TEXT_COLUMNS = [[0, "the log-probability"]] as const;

/** How text is trained and evaluated: what is scored, and how much is computed together. */
export interface TextOptions {
  limits: BatchLimits;
  scope: "completion" | "all";
}

const tokensOf = ({ ids }: TextRow) => ids.length;

/** Sum of the first numbers of scores (B, 4). */
function sumOfScores(scores: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < scores.length; i += 4) sum += scores[i];
  return sum;
}

/**
 * Steps of next-token training: the loss is the mean over all scored tokens of the step, however they are spread over
 * micro-batches.
 */
export function sftSteps(
  model: Model,
  optimizer: Optimizer,
  sequences: readonly TextRow[],
  { limits, scope }: TextOptions,
): MakeStep {
  return (rows) => {
    const chunkRows = model.runtime.headRows;
    const chosen = Array.from(rows, (row) => sequences[row]);
    const scored = chosen.reduce((sum, sequence) => sum + scoredTokens(sequence, scope), 0);
    let loss = 0;
    let notFinite: string | null = null;
    const microBatches: SftBatch[] = [];
    for (const part of divide(chosen, tokensOf, limits)) {
      const packed = packSequences(part, { scope, weight: 1 / scored, chunkRows });
      const onScores = (scores: Float32Array) => {
        loss -= sumOfScores(scores);
        notFinite ??= findNotFinite(part, scores, TEXT_COLUMNS);
      };
      microBatches.push(new SftBatch(packed, optimizer, onScores));
    }
    const tokens = chosen.reduce((sum, row) => sum + tokensOf(row), 0);
    return { microBatches, tokens, metrics: () => ({ loss }), notFinite: () => notFinite };
  };
}

/**
 * Mean negative log-likelihood of held-out sequences, in nats per scored token.
 *
 * @throws {UserError} If a log-probability is not finite; the message names the row.
 */
export async function evaluateSft(
  model: Model,
  sequences: readonly TextRow[],
  { limits, scope }: TextOptions,
): Promise<Record<string, number>> {
  const { gpu, runtime, weights } = model;
  let loss = 0;
  let tokens = 0;
  for (const part of divide(sequences, tokensOf, limits)) {
    const packed = packSequences(part, { scope, weight: 1, chunkRows: runtime.headRows });
    const batch = uploadBatch(gpu, runtime.workspace, packed);
    const scores = scoreTensor(model, "policy scores", part.length);
    const commands = new Commands(gpu);
    const trunk = trunkForward(commands, runtime, weights, batch, 0);
    const { y } = topForward(commands, runtime, weights, batch, trunk, 0, false);
    headForward(commands, runtime, weights, batch, scores, y);
    commands.submit();
    const sums = await readTensor(gpu, scores);
    expectFinite("the model", weights.precision, part, sums, TEXT_COLUMNS);
    loss -= sumOfScores(sums);
    tokens += part.reduce((sum, sequence) => sum + scoredTokens(sequence, scope), 0);
  }
  return { eval_loss: loss / tokens, eval_tokens: tokens };
}
