// This module is browser compatible.
import { AOT, AOT_UNPAIRED } from "./aot.ts";
import {
  delta,
  logSigmoid,
  type Loss,
  type LossOption,
  type LossOptions,
  ofDelta,
  type PairLoss,
  type PairScores,
  sigmoid,
} from "./loss.ts";

const TABLE = {
  /** DPO: Rafailov et al. 2023, arXiv:2305.18290, eq. 7; with label smoothing cDPO (Mitchell 2023). */
  sigmoid: {
    reads: ["labelSmoothing"],
    of(scores, { beta, labelSmoothing: e }) {
      const z = beta * delta(scores);
      return ofDelta(
        -(1 - e) * logSigmoid(z) - e * logSigmoid(-z),
        beta * (e * sigmoid(z) - (1 - e) * sigmoid(-z)),
      );
    },
    wgsl: /* wgsl */ `
fn preference_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let e = params.label_smoothing;
  let z = params.beta * (gain.x - gain.y);
  return of_delta(
    -(1.0 - e) * log_sigmoid(z) - e * log_sigmoid(-z),
    params.beta * (e * sigmoid(z) - (1.0 - e) * sigmoid(-z)),
  );
}`,
  },

  /** Chowdhury et al. 2024, arXiv:2403.00409, eq. 12: unbiased under labels flipped with probability e. */
  robust: {
    reads: ["labelSmoothing"],
    of(scores, { beta, labelSmoothing: e }) {
      const z = beta * delta(scores);
      return ofDelta(
        (e * logSigmoid(-z) - (1 - e) * logSigmoid(z)) / (1 - 2 * e),
        -beta * (e * sigmoid(z) + (1 - e) * sigmoid(-z)) / (1 - 2 * e),
      );
    },
    wgsl: /* wgsl */ `
fn preference_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let e = params.label_smoothing;
  let z = params.beta * (gain.x - gain.y);
  return of_delta(
    (e * log_sigmoid(-z) - (1.0 - e) * log_sigmoid(z)) / (1.0 - 2.0 * e),
    -params.beta * (e * sigmoid(z) + (1.0 - e) * sigmoid(-z)) / (1.0 - 2.0 * e),
  );
}`,
  },

  /** Azar et al. 2023, arXiv:2310.12036, eq. 17; per token and with rewards that are sums, as TRL has it. */
  ipo: {
    reads: [],
    logprob: "mean",
    rewards: "sum",
    of(scores, { beta }) {
      const distance = delta(scores) - 1 / (2 * beta);
      return ofDelta(distance ** 2, 2 * distance);
    },
    wgsl: /* wgsl */ `
fn preference_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let distance = (gain.x - gain.y) - 0.5 / params.beta;
  return of_delta(distance * distance, 2.0 * distance);
}`,
  },

  /** SLiC: Zhao et al. 2023, arXiv:2305.10425, on the DPO reward. */
  hinge: {
    reads: [],
    of(scores, { beta }) {
      const z = beta * delta(scores);
      return ofDelta(Math.max(0, 1 - z), z < 1 ? -beta : 0);
    },
    wgsl: /* wgsl */ `
fn preference_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let z = params.beta * (gain.x - gain.y);
  return of_delta(max(0.0, 1.0 - z), select(0.0, -params.beta, z < 1.0));
}`,
  },
  /** Length-normalised DPO: Lambert et al. 2024, arXiv:2411.15124 (Tulu 3), eq. 6; sigmoid per token, with rewards that are sums. */
  sigmoid_norm: {
    reads: [],
    logprob: "mean",
    rewards: "sum",
    of(scores, { beta }) {
      const z = beta * delta(scores);
      return ofDelta(-logSigmoid(z), -beta * sigmoid(-z));
    },
    wgsl: /* wgsl */ `
fn preference_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let z = params.beta * (gain.x - gain.y);
  return of_delta(-log_sigmoid(z), -params.beta * sigmoid(-z));
}`,
  },

  /** Distributional alignment: Melnyk et al. 2024, arXiv:2406.05882; margins of the policy against those of the reference. */
  aot: AOT,

  /** The same paper: gains of chosen answers against gains of rejected ones, whoever is whose pair. */
  aot_unpaired: AOT_UNPAIRED,
} as const satisfies Record<string, Loss>;

export type LossType = keyof typeof TABLE;

/**
 * The preference losses under TRL's names. A new one is a row here: options, documentation of choices, kernel, evaluation and
 * refusals follow from it.
 */
export const LOSSES: Readonly<Record<LossType, Loss>> = TABLE;
export const LOSS_TYPES = Object.keys(LOSSES) as readonly LossType[];

/** A loss with its options, as the resolved options of `train` and `eval` have them. */
export interface ChosenLoss extends LossOptions {
  lossType: LossType;
}

/** The losses of pairs that are computed together, in double precision. */
export function pairLosses(loss: ChosenLoss, pairs: readonly PairScores[]): PairLoss[] {
  const row = LOSSES[loss.lossType];
  return row.of ? pairs.map((pair) => row.of(pair, loss)) : row.ofAll(pairs, loss);
}

/** A pair's loss while policy and reference are the same. */
export function lossOfEquals(loss: ChosenLoss): number {
  const equal = { chosen: 0, rejected: 0, referenceChosen: 0, referenceRejected: 0 };
  return pairLosses(loss, [equal])[0].value;
}

/** The losses that read an option, in words: `sigmoid or robust`. */
export function readersOf(option: Exclude<LossOption, "beta">): string {
  const names = LOSS_TYPES.filter((type) => LOSSES[type].reads.includes(option));
  return new Intl.ListFormat("en", { type: "disjunction" }).format(names);
}
