// This module is browser compatible.
import code from "../../shaders/dpo_loss.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Fields, Kernel, Variant } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { DIVERGENCES } from "../losses/divergences.ts";
import { LOSS_OPTIONS, type LossOption, type PairScores } from "../losses/loss.ts";
import {
  isAcrossPairs,
  isOfMargin,
  lossInWords,
  type Objective,
  type Term,
  termsOf,
} from "../losses/losses.ts";
import { expectShape } from "./shapes.ts";
import { STATE_FIELDS } from "./state.ts";

/** Columns of the metrics of a pair; `delta` is the difference of its rewards over beta. */
export const PAIR_METRICS = [
  "loss",
  "reward_chosen",
  "reward_rejected",
  "logp_chosen",
  "logp_rejected",
  "delta",
  "score_chosen",
  "score_rejected",
] as const;
export type PairMetric = typeof PAIR_METRICS[number];

/** What pairs say of themselves. */
export const PAIR_TERMS = ["margin", "weight", "label"] as const;

/** {@link PAIR_TERMS} of pairs, (P, 3); the label of a single answer is 1 or -1. */
export function pairTerms(
  pairs: readonly Pick<PairScores, "margin" | "weight" | "label">[],
): Float32Array {
  return Float32Array.from(
    pairs.flatMap(({ margin = 0, weight = 1, label = true }) => [margin, weight, label ? 1 : -1]),
  );
}

const floats = (names: readonly string[]): Fields =>
  Object.fromEntries(names.map((name) => [name, "f32"]));

const params: Fields = {
  first: "u32",
  count: "u32",
  gradient_scale: "f32",
  chosen_tokens: "f32",
  ...floats(Object.values(LOSS_OPTIONS)),
};

const kernel: Kernel = {
  name: "dpo_loss",
  code,
  params,
  reads: ["scores", "reference", "terms", "state"],
  writes: ["dscore", "metrics"],
  structs: {
    Params: params,
    State: STATE_FIELDS,
    PairTerms: floats(PAIR_TERMS),
    PairMetrics: floats(PAIR_METRICS),
  },
};

/**
 * Which of the four numbers of sequence_score a loss makes its rewards of: its score, or the sum of all log-probabilities.
 */
export function rewardColumn(objective: Objective): number {
  return termsOf(objective).some(({ loss }) => loss.rewards === "sum") ? 2 : 0;
}

const variants = new Map<string, Variant>();

/** The kernel with the code of the losses. */
function variantOf(objective: Objective): Variant {
  const { fDivergenceType: divergence, fAlphaDivergenceCoef: alpha } = objective;
  const weighting = objective.useWeighting ? 1 : 0;
  const name = `${lossInWords(objective)} ${divergence} ${alpha} ${weighting}`;
  let variant = variants.get(name);
  if (!variant) {
    const terms = termsOf(objective);
    const codes = terms.map(({ loss }) => loss.wgsl);
    codes.push(
      divergence === "reverse_kl" ? preferenceLoss(terms) : divergedLoss(terms, objective),
    );
    const code = codes.join("\n") + "\n";
    const constants = { REWARD_COLUMN: rewardColumn(objective), WEIGHTING: weighting };
    variant = { constants, part: { name, code } };
    variants.set(name, variant);
  }
  return variant;
}

/** What the kernel calls: the weighted sum of losses. */
function preferenceLoss(terms: readonly Term[]): string {
  const sum = sumOf(
    terms,
    ({ type }) => `${type}_loss(pair, ${isOfMargin(type) ? "less_margin(pair, gain)" : "gain"})`,
  );
  return /* wgsl */ `
fn preference_loss(pair: u32, gain: vec2<f32>) -> Loss { return ${sum}; }`;
}

/** The same with losses of the margin of what a divergence makes of gains. */
function divergedLoss(
  terms: readonly Term[],
  { fDivergenceType, fAlphaDivergenceCoef }: Objective,
): string {
  const sum = sumOf(
    terms,
    (term) =>
      isOfMargin(term.type)
        ? `by_gains(${term.type}_loss(pair, less_margin(pair, vec2<f32>(chosen.x, rejected.x))), chosen.y, rejected.y)`
        : `${term.type}_loss(pair, gain)`,
  );
  return /* wgsl */ `
fn diverged(gain: f32, alpha: f32) -> vec2<f32> { ${DIVERGENCES[fDivergenceType].wgsl} }

fn by_gains(loss: Loss, chosen: f32, rejected: f32) -> Loss {
  return Loss(loss.value, loss.dchosen * chosen, loss.drejected * rejected);
}

fn preference_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let chosen = diverged(gain.x, ${fAlphaDivergenceCoef}f);
  let rejected = diverged(gain.y, ${fAlphaDivergenceCoef}f);
  return ${sum};
}`;
}

function sumOf(terms: readonly Term[], call: (term: Term) => string): string {
  return terms
    .map((term) => term.weight === 1 ? call(term) : `scaled(${term.weight}f, ${call(term)})`)
    .reduce((sum, term) => `plus(${sum}, ${term})`);
}

/** The loss, and the pairs that it is computed of. */
export interface DpoLossOptions {
  objective: Objective;
  /** What each pair counts in the step: 1 / pairs of all its micro-batches. */
  gradientScale: number;
  /** See src/losses/loss.ts. */
  chosenTokens: number;
  first: number;
  count: number;
}

/**
 * The preference loss of pairs `first .. first + count` and its derivatives; see src/losses.
 *
 * @param dscore Derivative by chosen and rejected score, times the loss scale, f32 (2P).
 * @param metrics {@link PAIR_METRICS} of each pair, f32 (P, 8).
 * @param scores Of the policy, chosen before rejected, f32 (2P, 4).
 * @param reference Of the reference, f32 (2P, 4).
 * @param terms {@link PAIR_TERMS} of each pair, f32 (P, 3).
 * @param state The optimizer's.
 * @throws {RangeError} If the shapes disagree, or a loss across pairs is to be that of a few of them.
 */
export function dpoLoss(
  commands: Commands,
  dscore: Tensor,
  metrics: Tensor,
  scores: Tensor,
  reference: Tensor,
  terms: Tensor,
  state: Tensor,
  { objective, gradientScale, chosenTokens, first, count }: DpoLossOptions,
): void {
  const [P] = metrics.shape;
  expectShape("dpo_loss", "dscore", dscore, [2 * P]);
  expectShape("dpo_loss", "metrics", metrics, [P, PAIR_METRICS.length]);
  expectShape("dpo_loss", "scores", scores, [2 * P, 4]);
  expectShape("dpo_loss", "reference", reference, [2 * P, 4]);
  expectShape("dpo_loss", "terms", terms, [P, PAIR_TERMS.length]);
  if (isAcrossPairs(objective) && count !== P) {
    throw new RangeError(
      `dpo_loss: expected all ${P} pairs for ${objective.lossType}, found ${count}`,
    );
  }
  const read = Object.entries(LOSS_OPTIONS).map(([option, name]) =>
    [name, objective[option as LossOption]] as const
  );
  commands.dispatch(kernel, {
    variant: variantOf(objective),
    params: {
      first,
      count,
      gradient_scale: gradientScale,
      chosen_tokens: chosenTokens,
      ...Object.fromEntries(read),
    },
    tensors: [scores, reference, terms, state, dscore, metrics],
    workgroups: [Math.ceil(count / 64)],
  });
}
