// This module is browser compatible.

/** What a preference loss is computed from. Scores are sums or means of token log-probabilities. */
export interface PairScores {
  chosen: number;
  rejected: number;
  referenceChosen: number;
  referenceRejected: number;
  /** By how much more losses of the margin ask for, in units of rewards; default 0. */
  margin?: number;
  /** What the loss is multiplied with; default 1. */
  weight?: number;
  /** Of a single answer, whose score is the chosen one: whether it is good. */
  label?: boolean;
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
  /** Temperature of discopop's modulation, 0 < tau <= 1. */
  discopopTau: "discopop_tau",
  /** Weight of dpop's penalty, in nats per nat. */
  dpopLambda: "dpop_lambda",
  /** Margin that simpo demands, in nats. */
  simpoGamma: "simpo_gamma",
  /** Weight of cpo's negative log-likelihood. */
  cpoAlpha: "cpo_alpha",
  /** Weights of good and of bad answers in losses of single ones. */
  desirableWeight: "desirable_weight",
  undesirableWeight: "undesirable_weight",
} as const;
export type LossOption = keyof typeof LOSS_OPTIONS;
export interface LossOptions extends Readonly<Record<LossOption, number>> {}

/** A preference loss: a row of the tables that losses.ts joins. */
export type Loss = LossFacts & (LossOfPair | LossOfAll);

interface LossFacts {
  /** Authors, year and number; none of what is no paper's. */
  paper?: string;
  /** The options that it reads, besides beta, which makes the rewards of any loss; others are refused. */
  reads: readonly Exclude<LossOption, "beta">[];
  /** Those of them that must be above 0. */
  positive?: readonly Exclude<LossOption, "beta">[];
  /**
   * What a sequence's score is if the user does not say: `mean` where TRL's loss is per token; `any` where it does not matter to
   * the loss. Otherwise it is the sum.
   */
  logprob?: "mean" | "any";
  /** What rewards are made of, where that is the sum of log-probabilities whatever the score is; otherwise the score. */
  rewards?: "sum";
  /** The loss does without a reference. */
  reference?: false;
  /** The loss depends on scores by themselves, not on gains over the reference alone. */
  absolute?: true;
  /**
   * The loss is one of single answers with labels, in the chosen score; the rejected one is that of another row's answer behind the
   * same prompt (`mismatched`), or of none (`alone`).
   */
  answers?: "mismatched" | "alone";
  /** The loss compares sorted numbers, so that none belongs to a pair that could have a weight. */
  sorts?: true;
  /**
   * Value and derivatives in WGSL: `fn NAME_loss(pair: u32, gain: vec2<f32>) -> Loss` for shaders/dpo_loss.wgsl, and what it calls
   * beyond that. `gain` is by how much the scores of the pair's chosen and rejected exceed the reference's.
   */
  wgsl: string;
}

/** The loss of a pair, whatever the others are. */
interface LossOfPair {
  /**
   * The loss and its derivatives, in double precision.
   *
   * @param chosenTokens What turns chosen scores into a mean over all their tokens, `params.chosen_tokens` in WGSL: the mean number
   * of tokens where scores are sums, 1 where they are means.
   */
  of(scores: PairScores, options: LossOptions, chosenTokens: number): PairLoss;
  ofAll?: undefined;
}

/** A loss across pairs: of all of a micro-batch, and of all of an evaluation. */
interface LossOfAll {
  /** The losses, whose mean counts, and the derivatives of their sum, in double precision. */
  ofAll(pairs: readonly PairScores[], options: LossOptions): PairLoss[];
  of?: undefined;
}

export const logSigmoid = (z: number) => Math.min(z, 0) - Math.log1p(Math.exp(-Math.abs(z)));
export const sigmoid = (z: number) => 1 / (1 + Math.exp(-z));
