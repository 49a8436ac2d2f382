// This module is browser compatible.
import type { PreferencePair } from "../data/pairs.ts";
import type { Commands } from "../gpu/commands.ts";
import type { Readback } from "../gpu/readback.ts";
import { type Tensor, writeTensor } from "../gpu/tensor.ts";
import { dpoLoss, PAIR_METRICS, PAIR_TERMS, pairTerms } from "../kernels/dpo_loss.ts";
import type { GpuBatch, HeadGroup, PackedBatch } from "../model/batch.ts";
import { type Model, scoreTensor } from "../model/model.ts";
import type { Optimizer } from "./optimizer.ts";
import type { TrainingBatch } from "./step.ts";
import type { Reference } from "../dpo/reference.ts";
import type { TrunkCache } from "../dpo/trunk_cache.ts";
import type { Objective } from "../losses/losses.ts";

/** What all micro-batches of a DPO run share. */
export interface DpoRun {
  model: Model;
  optimizer: Optimizer;
  /** null: the losses do without one. */
  reference: Reference | null;
  trunkCache: TrunkCache;
  objective: Objective;
}

/** A micro-batch of preference pairs. */
export class DpoBatch implements TrainingBatch {
  #reference: Tensor | undefined;
  #metrics: Tensor | undefined;
  #terms: Tensor | undefined;

  /**
   * @param step Of all micro-batches of the step: how many pairs, over which the loss is a mean, and what losses divide by to make
   * chosen scores a mean over tokens.
   * @param onMetrics Gets PAIR_METRICS of the batch's pairs, f32 (P, 8).
   */
  constructor(
    readonly run: DpoRun,
    readonly pairs: readonly PreferencePair[],
    readonly packed: PackedBatch,
    readonly step: { pairs: number; chosenTokens: number },
    readonly readback: Readback,
    readonly onMetrics: (metrics: Float32Array) => void,
  ) {}

  cachedTrunk(commands: Commands): Tensor | undefined {
    return this.run.trunkCache.load(commands, this.pairs);
  }

  afterTrunk(commands: Commands, batch: GpuBatch, trunk: Tensor): void {
    this.run.trunkCache.store(commands, this.pairs, trunk);
    const { reference, model } = this.run;
    const shape = [this.pairs.length, PAIR_TERMS.length];
    this.#terms = model.runtime.workspace.get("pair terms", "f32", shape);
    writeTensor(model.gpu, this.#terms, pairTerms(this.pairs));
    if (reference) {
      this.#reference = reference.scores(commands, this.pairs, batch, trunk, this.readback);
    } else {
      this.#reference = scoreTensor(model, "no reference", 2 * this.pairs.length);
      commands.clear(this.#reference);
    }
  }

  loss(commands: Commands, group: HeadGroup, scores: Tensor, dscore: Tensor): void {
    const { objective, optimizer, model } = this.run;
    const shape = [this.pairs.length, PAIR_METRICS.length];
    this.#metrics = model.runtime.workspace.get("pair metrics", "f32", shape);
    dpoLoss(
      commands,
      dscore,
      this.#metrics,
      scores,
      this.#reference!,
      this.#terms!,
      optimizer.state,
      {
        objective,
        gradientScale: 1 / this.step.pairs,
        chosenTokens: this.step.chosenTokens,
        first: group.firstSequence / 2,
        count: group.sequenceCount / 2,
      },
    );
  }

  report(commands: Commands, readback: Readback): void {
    readback.record(commands, this.#metrics!, (data) => this.onMetrics(new Float32Array(data)));
  }
}
