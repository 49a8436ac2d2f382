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
   * @param onLoss Gets this micro-batch's share of the step's loss, in nats per token.
   */
  constructor(
    readonly packed: PackedBatch,
    readonly optimizer: Optimizer,
    readonly onLoss: (loss: number) => void,
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
    readback.record(commands, this.#scores, (data) => {
      const scores = new Float32Array(data);
      let loss = 0;
      for (let i = 0; i < scores.length; i += 4) loss -= scores[i];
      this.onLoss(loss);
    });
  }
}
