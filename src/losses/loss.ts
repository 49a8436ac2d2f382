// This module is browser compatible.

/** What a preference loss is computed from. Scores are sums or means of token log-probabilities. */
export interface PairScores {
  chosen: number;
  rejected: number;
  referenceChosen: number;
  referenceRejected: number;
}

/** A pair's loss and its derivatives with respect to the policy's two scores. */
export interface PairLoss {
  value: number;
  dchosen: number;
  drejected: number;
}

/** The options that losses read, and their names in WGSL. */
export const LOSS_OPTIONS = {
  beta: "beta",
  /** Probability that a label is wrong, 0 <= e < 1/2. */
  labelSmoothing: "label_smoothing",
} as const;
export type LossOption = keyof typeof LOSS_OPTIONS;
export interface LossOptions extends Readonly<Record<LossOption, number>> {}

/** A preference loss: a row of the table in losses.ts. */
export interface Loss {
  /** The options that it reads, besides beta, which makes the rewards of any loss; others are refused. */
  reads: readonly Exclude<LossOption, "beta">[];
  /** What a sequence's score is if the user does not say, where TRL's loss is per token; otherwise as `--logprob`. */
  logprob?: "mean";
  /** What rewards are made of, where that is the sum of log-probabilities whatever the score is; otherwise the score. */
  rewards?: "sum";
  /** The loss of a pair and its derivatives, in double precision. */
  of(scores: PairScores, options: LossOptions): PairLoss;
  /**
   * The same in WGSL: the body of `fn preference_loss(pair: u32, gain: vec2<f32>) -> Loss` for shaders/dpo_loss.wgsl. `gain` is
   * by how much the scores of chosen and rejected exceed the reference's.
   */
  wgsl: string;
}
