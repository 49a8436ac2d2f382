// This module is browser compatible.
import { logSigmoid, type Loss, type PairLoss, type PairScores, sigmoid } from "./loss.ts";

/** (chosen - rejected) of the policy over that of the reference, in nats. */
function delta(scores: PairScores): number {
  return (scores.chosen - scores.rejected) - (scores.referenceChosen - scores.referenceRejected);
}

/** A loss of delta alone pushes the chosen score by its slope and the rejected one by as much the other way. */
function ofDelta(value: number, slope: number): PairLoss {
  return { value, dchosen: slope, drejected: -slope };
}

/** Losses of delta: by how much the margin of the policy exceeds that of the reference. */
export const OF_MARGIN = {
  /** DPO, eq. 7; with label smoothing cDPO (Mitchell 2023). */
  sigmoid: {
    paper: "Rafailov et al. 2023, arXiv:2305.18290",
    reads: ["labelSmoothing"],
    of(scores, { beta, labelSmoothing: e }) {
      const z = beta * delta(scores);
      return ofDelta(
        -(1 - e) * logSigmoid(z) - e * logSigmoid(-z),
        beta * (e * sigmoid(z) - (1 - e) * sigmoid(-z)),
      );
    },
    wgsl: /* wgsl */ `
fn sigmoid_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let e = params.label_smoothing;
  let z = params.beta * (gain.x - gain.y);
  return of_delta(
    -(1.0 - e) * log_sigmoid(z) - e * log_sigmoid(-z),
    params.beta * (e * sigmoid(z) - (1.0 - e) * sigmoid(-z)),
  );
}`,
  },

  /** Eq. 12: unbiased under labels flipped with probability e. */
  robust: {
    paper: "Chowdhury et al. 2024, arXiv:2403.00409",
    reads: ["labelSmoothing"],
    of(scores, { beta, labelSmoothing: e }) {
      const z = beta * delta(scores);
      return ofDelta(
        (e * logSigmoid(-z) - (1 - e) * logSigmoid(z)) / (1 - 2 * e),
        -beta * (e * sigmoid(z) + (1 - e) * sigmoid(-z)) / (1 - 2 * e),
      );
    },
    wgsl: /* wgsl */ `
fn robust_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let e = params.label_smoothing;
  let z = params.beta * (gain.x - gain.y);
  return of_delta(
    (e * log_sigmoid(-z) - (1.0 - e) * log_sigmoid(z)) / (1.0 - 2.0 * e),
    -params.beta * (e * sigmoid(z) + (1.0 - e) * sigmoid(-z)) / (1.0 - 2.0 * e),
  );
}`,
  },

  /** Eq. 17; per token and with rewards that are sums, as TRL has it. */
  ipo: {
    paper: "Azar et al. 2023, arXiv:2310.12036",
    reads: [],
    logprob: "mean",
    rewards: "sum",
    of(scores, { beta }) {
      const distance = delta(scores) - 1 / (2 * beta);
      return ofDelta(distance ** 2, 2 * distance);
    },
    wgsl: /* wgsl */ `
fn ipo_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let distance = (gain.x - gain.y) - 0.5 / params.beta;
  return of_delta(distance * distance, 2.0 * distance);
}`,
  },

  /** SLiC, on the DPO reward. */
  hinge: {
    paper: "Zhao et al. 2023, arXiv:2305.10425",
    reads: [],
    of(scores, { beta }) {
      const z = beta * delta(scores);
      return ofDelta(Math.max(0, 1 - z), z < 1 ? -beta : 0);
    },
    wgsl: /* wgsl */ `
fn hinge_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let z = params.beta * (gain.x - gain.y);
  return of_delta(max(0.0, 1.0 - z), select(0.0, -params.beta, z < 1.0));
}`,
  },

  /** Length-normalised DPO (Tulu 3): sigmoid per token, with rewards that are sums. */
  sigmoid_norm: {
    paper: "Lambert et al. 2024, arXiv:2411.15124",
    reads: [],
    logprob: "mean",
    rewards: "sum",
    of(scores, { beta }) {
      const z = beta * delta(scores);
      return ofDelta(-logSigmoid(z), -beta * sigmoid(-z));
    },
    wgsl: /* wgsl */ `
fn sigmoid_norm_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let z = params.beta * (gain.x - gain.y);
  return of_delta(-log_sigmoid(z), -params.beta * sigmoid(-z));
}`,
  },

  /** EXO, eq. 16: the divergence from labels that are wrong with probability e. */
  exo_pair: {
    paper: "Ji et al. 2024, arXiv:2402.00856",
    reads: ["labelSmoothing"],
    positive: ["labelSmoothing"],
    of(scores, { beta, labelSmoothing: e }) {
      const z = beta * delta(scores);
      const [p, q] = [sigmoid(z), sigmoid(-z)];
      return ofDelta(
        p * (logSigmoid(z) - Math.log(1 - e)) + q * (logSigmoid(-z) - Math.log(e)),
        beta * p * q * (z - Math.log(1 - e) + Math.log(e)),
      );
    },
    wgsl: /* wgsl */ `
fn exo_pair_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let z = params.beta * (gain.x - gain.y);
  let p = sigmoid(z);
  let q = sigmoid(-z);
  let log_right = log(1.0 - params.label_smoothing);
  let log_wrong = log(params.label_smoothing);
  return of_delta(
    p * (log_sigmoid(z) - log_right) + q * (log_sigmoid(-z) - log_wrong),
    params.beta * p * q * (z - log_right + log_wrong),
  );
}`,
  },

  /**
   * DiscoPOP, eq. 5, the log-ratio modulated loss. The exponential grows where its weight falls, so
   * both are one exponential; with tau up to 1 it stays finite.
   */
  discopop: {
    paper: "Lu et al. 2024, arXiv:2406.08414",
    reads: ["discopopTau"],
    of(scores, { beta, discopopTau: tau }) {
      const z = beta * delta(scores);
      const [m, rest] = [sigmoid(z / tau), sigmoid(-z / tau)];
      const exponential = Math.exp(logSigmoid(z / tau) - z);
      return ofDelta(
        exponential - rest * logSigmoid(z),
        beta *
          (m * rest / tau * logSigmoid(z) - rest * sigmoid(-z) + exponential * (rest / tau - 1)),
      );
    },
    wgsl: /* wgsl */ `
fn discopop_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let z = params.beta * (gain.x - gain.y);
  let modulated = z / params.discopop_tau;
  let rest = sigmoid(-modulated);
  let exponential = exp(log_sigmoid(modulated) - z);
  let by_weight = rest / params.discopop_tau;
  return of_delta(
    exponential - rest * log_sigmoid(z),
    params.beta *
      (sigmoid(modulated) * by_weight * log_sigmoid(z) - rest * sigmoid(-z) + exponential * (by_weight - 1.0)),
  );
}`,
  },
} as const satisfies Record<string, Loss>;
