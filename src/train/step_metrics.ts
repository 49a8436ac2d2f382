// This module is browser compatible.
import type { OptimizerReport } from "./optimizer.ts";

/**
 * What a step tells, besides what its objective adds (loss, rewards, ...). TRL's names. A step that was made has its
 * `grad_norm`, before clipping; one that an overflow skipped has `skipped: 1` in its place.
 */
export interface StepMetrics {
  /** Optimizer steps done, this one included. */
  step: number;
  epoch: number;
  loss: number;
  learning_rate: number;
  /** Tokens of the step, shared prompts counted once. */
  tokens: number;
  /** Steps skipped for an overflow so far, and the loss scale; at f16. */
  skipped_steps: number;
  loss_scale: number;
  [name: string]: number;
}

/** What is known of a step in one. */
export function stepMetrics(
  { step, epoch, learning_rate, tokens }: Pick<
    StepMetrics,
    "step" | "epoch" | "learning_rate" | "tokens"
  >,
  { loss, ...others }: Record<string, number>,
  { norm, lossScale, skipped }: OptimizerReport,
): StepMetrics {
  return {
    step,
    epoch,
    loss,
    // Not finite: where and only where the optimizer skips the step.
    ...Number.isFinite(norm) ? { grad_norm: norm } : { skipped: 1 },
    learning_rate,
    tokens,
    ...others,
    skipped_steps: skipped,
    loss_scale: lossScale,
  };
}
