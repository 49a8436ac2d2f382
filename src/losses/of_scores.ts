// This module is browser compatible.
import { logSigmoid, type Loss, sigmoid } from "./loss.ts";

/** A mean log-probability that is closer to 0 counts as this: the odds of what is certain are infinite. */
const NEAREST_ZERO = -1e-6;

/** The logarithm of the odds p / (1 - p) of log p, and its derivative. */
function logOdds(score: number): { value: number; slope: number } {
  const x = Math.min(score, NEAREST_ZERO);
  const rest = -Math.expm1(x);
  return { value: x - Math.log(rest), slope: 1 / rest };
}

/** Losses of the policy's scores by themselves: no reference is loaded and run. */
export const OF_SCORES = {
  /** SimPO, eq. 6. */
  simpo: {
    paper: "Meng et al. 2024, arXiv:2405.14734",
    reads: ["labelSmoothing", "simpoGamma"],
    logprob: "mean",
    reference: false,
    absolute: true,
    of({ chosen, rejected }, { beta, labelSmoothing: e, simpoGamma }) {
      const z = beta * (chosen - rejected) - simpoGamma;
      const slope = beta * (e * sigmoid(z) - (1 - e) * sigmoid(-z));
      return {
        value: -(1 - e) * logSigmoid(z) - e * logSigmoid(-z),
        dchosen: slope,
        drejected: -slope,
      };
    },
    wgsl: /* wgsl */ `
fn simpo_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let e = params.label_smoothing;
  let z = params.beta * (scores[2u * pair].x - scores[2u * pair + 1u].x) - params.simpo_gamma;
  return of_delta(
    -(1.0 - e) * log_sigmoid(z) - e * log_sigmoid(-z),
    params.beta * (e * sigmoid(z) - (1.0 - e) * sigmoid(-z)),
  );
}`,
  },

  /** CPO, eq. 5, with a weight of its second term as TRL has it. */
  cpo: {
    paper: "Xu et al. 2024, arXiv:2401.08417",
    reads: ["labelSmoothing", "cpoAlpha"],
    reference: false,
    absolute: true,
    of({ chosen, rejected }, { beta, labelSmoothing: e, cpoAlpha }, chosenTokens) {
      const z = beta * (chosen - rejected);
      const slope = beta * (e * sigmoid(z) - (1 - e) * sigmoid(-z));
      const weight = cpoAlpha / chosenTokens;
      return {
        value: -(1 - e) * logSigmoid(z) - e * logSigmoid(-z) - weight * chosen,
        dchosen: slope - weight,
        drejected: -slope,
      };
    },
    wgsl: /* wgsl */ `
fn cpo_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let e = params.label_smoothing;
  let chosen = scores[2u * pair].x;
  let z = params.beta * (chosen - scores[2u * pair + 1u].x);
  let slope = params.beta * (e * sigmoid(z) - (1.0 - e) * sigmoid(-z));
  let weight = params.cpo_alpha / params.chosen_tokens;
  return Loss(-(1.0 - e) * log_sigmoid(z) - e * log_sigmoid(-z) - weight * chosen, slope - weight, -slope);
}`,
  },

  /** ORPO, eq. 6, with beta for lambda as in TRL. */
  orpo: {
    paper: "Hong et al. 2024, arXiv:2403.07691",
    reads: [],
    logprob: "mean",
    reference: false,
    absolute: true,
    of(scores, { beta }) {
      const [chosen, rejected] = [logOdds(scores.chosen), logOdds(scores.rejected)];
      const z = chosen.value - rejected.value;
      return {
        value: -scores.chosen - beta * logSigmoid(z),
        dchosen: -1 - beta * sigmoid(-z) * chosen.slope,
        drejected: beta * sigmoid(-z) * rejected.slope,
      };
    },
    wgsl: /* wgsl */ `
// 1 - p of log p, where a difference would cancel as the series that it is.
fn orpo_rest(x: f32) -> f32 {
  if (x < -0.05) { return 1.0 - exp(x); }
  return -x * (1.0 + x / 2.0 * (1.0 + x / 3.0 * (1.0 + x / 4.0 * (1.0 + x / 5.0))));
}

fn orpo_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let score = vec2<f32>(scores[2u * pair].x, scores[2u * pair + 1u].x);
  let x = min(score, vec2<f32>(${NEAREST_ZERO}));
  let rest = vec2<f32>(orpo_rest(x.x), orpo_rest(x.y));
  let odds = x - log(rest);
  let z = odds.x - odds.y;
  let slope = params.beta * sigmoid(-z) / rest;
  return Loss(-score.x - params.beta * log_sigmoid(z), -1.0 - slope.x, slope.y);
}`,
  },
} as const satisfies Record<string, Loss>;
