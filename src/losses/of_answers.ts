// This module is browser compatible.
import { type Loss, type PairLoss, type PairScores, sigmoid } from "./loss.ts";

/** Losses of single answers with labels: a pair's chosen score is that of the answer, whatever its label is. */
export const OF_ANSWERS = {
  /**
   * KTO, eq. 8. The reference point is the divergence of the policy, estimated by the rejected scores, which are those of other
   * rows' answers behind the same prompts; no gradient goes through it.
   */
  kto: {
    paper: "Ethayarajh et al. 2024, arXiv:2402.01306",
    reads: ["desirableWeight", "undesirableWeight"],
    answers: "mismatched",
    ofAll(pairs, { beta, desirableWeight, undesirableWeight }): PairLoss[] {
      const sum = pairs.reduce((sum, pair) => sum + pair.rejected - pair.referenceRejected, 0);
      const divergence = Math.max(0, sum / pairs.length);
      return pairs.map((pair) => {
        const sign = signOf(pair);
        const weight = sign > 0 ? desirableWeight : undesirableWeight;
        const z = sign * beta * (pair.chosen - pair.referenceChosen - divergence);
        return {
          value: weight * sigmoid(-z),
          dchosen: -sign * beta * weight * sigmoid(z) * sigmoid(-z),
          drejected: 0,
        };
      });
    },
    wgsl: /* wgsl */ `
fn kto_loss(pair: u32, gain: vec2<f32>) -> Loss {
  var sum = 0.0;
  for (var i = 0u; i < params.count; i++) { sum += scores[2u * i + 1u].x - reference[2u * i + 1u].x; }
  let divergence = max(0.0, sum / f32(params.count));
  let sign = terms[pair].label;
  let weight = select(params.undesirable_weight, params.desirable_weight, sign > 0.0);
  let z = sign * params.beta * (gain.x - divergence);
  return Loss(weight * sigmoid(-z), -sign * params.beta * weight * sigmoid(z) * sigmoid(-z), 0.0);
}`,
  },

  /** APO-zero of single answers: good ones become likelier, bad ones less likely. */
  apo_zero_unpaired: {
    paper: "D'Oosterlinck et al. 2024, arXiv:2408.06266",
    reads: ["desirableWeight", "undesirableWeight"],
    answers: "alone",
    of(pair, { beta, desirableWeight, undesirableWeight }) {
      const sign = signOf(pair);
      const weight = sign > 0 ? desirableWeight : undesirableWeight;
      const z = sign * beta * (pair.chosen - pair.referenceChosen);
      return {
        value: weight * sigmoid(-z),
        dchosen: -sign * beta * weight * sigmoid(z) * sigmoid(-z),
        drejected: 0,
      };
    },
    wgsl: /* wgsl */ `
fn apo_zero_unpaired_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let sign = terms[pair].label;
  let weight = select(params.undesirable_weight, params.desirable_weight, sign > 0.0);
  let z = sign * params.beta * gain.x;
  return Loss(weight * sigmoid(-z), -sign * params.beta * weight * sigmoid(z) * sigmoid(-z), 0.0);
}`,
  },
} as const satisfies Record<string, Loss>;

/** 1 of an answer that is good, -1 of one that is not. */
function signOf({ label }: PairScores): number {
  return label === false ? -1 : 1;
}
