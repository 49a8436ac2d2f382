// This module is browser compatible.
import type { Commands } from "../gpu/commands.ts";
import type { Readback } from "../gpu/readback.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { sftLoss } from "../kernels/sft_loss.ts";
import type { HeadGroup, PackedBatch } from "../model/batch.ts";
import type { Optimizer } from "./optimizer.ts";
import type { TrainingBatch } from "./step.ts";

/** A micro-batch of next-token training: the mean negative log-likelihood over the scored tokens of the whole step. */
export class SftBatch implements TrainingBatch {
  #scores: Tensor | undefined;

  /**
   * @param packed Sequences whose weights are 1 / scored tokens of the step.
   * @param onScores Gets the scores of its sequences, f32 (B, 4): the first numbers are their shares of the step's mean
   * log-likelihood, in nats per token.
   */
  constructor(
    readonly packed: PackedBatch,
    readonly optimizer: Optimizer,
    readonly onScores: (scores: Float32Array) => void,
  ) {}

  cachedTrunk(): undefined {}

  afterTrunk(): void {}

  loss(commands: Commands, group: HeadGroup, scores: Tensor, dscore: Tensor): void {
    this.#scores = scores;
    const { firstSequence: first, sequenceCount: count } = group;
    sftLoss(commands, dscore, this.optimizer.state, { first, count });
  }

  report(commands: Commands, readback: Readback): void {
    if (!this.#scores) return;
    readback.record(commands, this.#scores, (data) => this.onScores(new Float32Array(data)));
  }
}
