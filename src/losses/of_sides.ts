// This module is browser compatible.
import { logSigmoid, type Loss, type PairScores, sigmoid } from "./loss.ts";

/** By how much the scores of chosen and rejected exceed the reference's, in nats. */
function gains({ chosen, rejected, referenceChosen, referenceRejected }: PairScores) {
  return [chosen - referenceChosen, rejected - referenceRejected];
}

/** Losses that also ask what becomes of chosen and rejected by themselves. */
export const OF_SIDES = {
  /** NCA. */
  nca_pair: {
    paper: "Chen et al. 2024, arXiv:2402.05369",
    reads: [],
    of(scores, { beta }) {
      const [c, r] = gains(scores).map((gain) => beta * gain);
      return {
        value: -logSigmoid(c) - (logSigmoid(-c) + logSigmoid(-r)) / 2,
        dchosen: beta * (sigmoid(c) / 2 - sigmoid(-c)),
        drejected: beta * sigmoid(r) / 2,
      };
    },
    wgsl: /* wgsl */ `
fn nca_pair_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let z = params.beta * gain;
  return Loss(
    -log_sigmoid(z.x) - (log_sigmoid(-z.x) + log_sigmoid(-z.y)) / 2.0,
    params.beta * (sigmoid(z.x) / 2.0 - sigmoid(-z.x)),
    params.beta * sigmoid(z.y) / 2.0,
  );
}`,
  },

  /** BCO without the shift by a running mean, as TRL has it since 0.29. */
  bco_pair: {
    paper: "Jung et al. 2024, arXiv:2404.04656",
    reads: [],
    of(scores, { beta }) {
      const [c, r] = gains(scores).map((gain) => beta * gain);
      return {
        value: -logSigmoid(c) - logSigmoid(-r),
        dchosen: -beta * sigmoid(-c),
        drejected: beta * sigmoid(r),
      };
    },
    wgsl: /* wgsl */ `
fn bco_pair_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let z = params.beta * gain;
  return Loss(-log_sigmoid(z.x) - log_sigmoid(-z.y), -params.beta * sigmoid(-z.x), params.beta * sigmoid(z.y));
}`,
  },

  /** SPPO with hard labels, eq. 4.7. */
  sppo_hard: {
    paper: "Wu et al. 2024, arXiv:2405.00675",
    reads: [],
    of(scores, { beta }) {
      const [c, r] = gains(scores);
      const [over, under] = [c - 1 / (2 * beta), r + 1 / (2 * beta)];
      return { value: over ** 2 + under ** 2, dchosen: 2 * over, drejected: 2 * under };
    },
    wgsl: /* wgsl */ `
fn sppo_hard_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let over = gain.x - 0.5 / params.beta;
  let under = gain.y + 0.5 / params.beta;
  return Loss(over * over + under * under, 2.0 * over, 2.0 * under);
}`,
  },

  /** APO-zero, eq. 7: chosen answers become likelier, rejected ones less likely. */
  apo_zero: {
    paper: "D'Oosterlinck et al. 2024, arXiv:2408.06266",
    reads: [],
    of(scores, { beta }) {
      const [c, r] = gains(scores).map((gain) => beta * gain);
      return {
        value: sigmoid(-c) + sigmoid(r),
        dchosen: -beta * sigmoid(c) * sigmoid(-c),
        drejected: beta * sigmoid(r) * sigmoid(-r),
      };
    },
    wgsl: /* wgsl */ `
fn apo_zero_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let z = params.beta * gain;
  return Loss(
    sigmoid(-z.x) + sigmoid(z.y),
    -params.beta * sigmoid(z.x) * sigmoid(-z.x),
    params.beta * sigmoid(z.y) * sigmoid(-z.y),
  );
}`,
  },

  /** APO-down, eq. 8: chosen answers become less likely, rejected ones even less. */
  apo_down: {
    paper: "D'Oosterlinck et al. 2024, arXiv:2408.06266",
    reads: [],
    of(scores, { beta }) {
      const [c, r] = gains(scores).map((gain) => beta * gain);
      const slope = sigmoid(c - r) * sigmoid(r - c);
      return {
        value: sigmoid(c) + sigmoid(r - c),
        dchosen: beta * (sigmoid(c) * sigmoid(-c) - slope),
        drejected: beta * slope,
      };
    },
    wgsl: /* wgsl */ `
fn apo_down_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let z = params.beta * gain;
  let slope = sigmoid(z.x - z.y) * sigmoid(z.y - z.x);
  return Loss(
    sigmoid(z.x) + sigmoid(z.y - z.x),
    params.beta * (sigmoid(z.x) * sigmoid(-z.x) - slope),
    params.beta * slope,
  );
}`,
  },

  /** DPO-Positive (Smaug), eq. 3: a chosen answer that becomes less likely is penalized. */
  dpop: {
    paper: "Pal et al. 2024, arXiv:2402.13228",
    reads: ["dpopLambda"],
    of(scores, { beta, dpopLambda: lambda }) {
      const [c, r] = gains(scores);
      const z = beta * (c - r - lambda * Math.max(0, -c));
      const slope = -beta * sigmoid(-z);
      return {
        value: -logSigmoid(z),
        dchosen: slope * (c < 0 ? 1 + lambda : 1),
        drejected: -slope,
      };
    },
    wgsl: /* wgsl */ `
fn dpop_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let z = params.beta * (gain.x - gain.y - params.dpop_lambda * max(0.0, -gain.x));
  let slope = -params.beta * sigmoid(-z);
  return Loss(-log_sigmoid(z), slope * select(1.0, 1.0 + params.dpop_lambda, gain.x < 0.0), -slope);
}`,
  },

  /** Next-token training on chosen answers: their negative log-likelihood, a mean over all their tokens. */
  sft: {
    reads: [],
    logprob: "any",
    absolute: true,
    of({ chosen }, _, chosenTokens) {
      return { value: -chosen / chosenTokens, dchosen: -1 / chosenTokens, drejected: 0 };
    },
    wgsl: /* wgsl */ `
fn sft_loss(pair: u32, gain: vec2<f32>) -> Loss {
  return Loss(-scores[2u * pair].x / params.chosen_tokens, -1.0 / params.chosen_tokens, 0.0);
}`,
  },
} as const satisfies Record<string, Loss>;
