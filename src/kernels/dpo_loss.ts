// This module is browser compatible.
import code from "../../shaders/dpo_loss.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { expectShape } from "./shapes.ts";
import { STATE_FIELDS } from "./state.ts";

const kernel: Kernel = {
  name: "dpo_loss",
  code,
  params: {
    first: "u32",
    count: "u32",
    beta: "f32",
    label_smoothing: "f32",
    gradient_scale: "f32",
  },
  reads: ["scores", "reference", "state"],
  writes: ["dscore", "metrics"],
  structs: { State: STATE_FIELDS },
};

/** Columns of the metrics of a pair; `delta` is the difference of its rewards over beta. */
export const PAIR_METRICS = [
  "loss",
  "rewardChosen",
  "rewardRejected",
  "logpChosen",
  "logpRejected",
  "delta",
  "scoreChosen",
  "scoreRejected",
] as const;

export interface DpoLossOptions {
  /** Index into LOSS_TYPES of src/dpo/losses.ts. */
  loss: number;
  beta: number;
  labelSmoothing: number;
  /** What each pair counts in the step: 1 / pairs of all its micro-batches. */
  gradientScale: number;
  first: number;
  count: number;
}

/**
 * The preference loss of pairs `first .. first + count` and its derivatives; see src/dpo/losses.ts.
 *
 * @param dscore Derivative by chosen and rejected score, times the loss scale, f32 (2P).
 * @param metrics {@link PAIR_METRICS} of each pair, f32 (P, 8).
 * @param scores Of the policy, chosen before rejected, f32 (2P, 4).
 * @param reference Of the reference, f32 (2P, 4).
 * @param state The optimizer's.
 * @throws {RangeError} If the shapes disagree.
 */
export function dpoLoss(
  commands: Commands,
  dscore: Tensor,
  metrics: Tensor,
  scores: Tensor,
  reference: Tensor,
  state: Tensor,
  { loss, beta, labelSmoothing, gradientScale, first, count }: DpoLossOptions,
): void {
  const [P] = metrics.shape;
  expectShape("dpo_loss", "dscore", dscore, [2 * P]);
  expectShape("dpo_loss", "metrics", metrics, [P, PAIR_METRICS.length]);
  expectShape("dpo_loss", "scores", scores, [2 * P, 4]);
  expectShape("dpo_loss", "reference", reference, [2 * P, 4]);
  commands.dispatch(kernel, {
    variant: { overrides: { LOSS: loss } },
    params: { first, count, beta, label_smoothing: labelSmoothing, gradient_scale: gradientScale },
    tensors: [scores, reference, state, dscore, metrics],
    workgroups: [Math.ceil(count / 64)],
  });
}
