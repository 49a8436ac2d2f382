// This module is browser compatible.
/**
 * Losses that compare two sorted lists of numbers, element by element: the smallest of one with the smallest of the other, and
 * so on. Numbers that are equal are sorted by the order of their pairs.
 *
 * @module
 */
import { logSigmoid, type Loss, type LossOptions, type PairLoss, sigmoid } from "./loss.ts";

/** Indices in ascending order of their numbers. */
function ascending(numbers: readonly number[]): number[] {
  return numbers.map((_, index) => index).sort((a, b) => numbers[a] - numbers[b] || a - b);
}

/** For each element of two lists, by its index, the loss by the difference of the elements of its rank, and the slope. */
function bySortedPairs(
  left: readonly number[],
  right: readonly number[],
  { beta, labelSmoothing: e }: LossOptions,
) {
  const [lefts, rights] = [ascending(left), ascending(right)];
  const result = {
    values: new Array<number>(left.length),
    leftSlopes: new Array<number>(left.length),
    rightSlopes: new Array<number>(left.length),
  };
  for (const [rank, index] of lefts.entries()) {
    const z = beta * (left[index] - right[rights[rank]]);
    result.values[index] = -(1 - e) * logSigmoid(z) - e * logSigmoid(-z);
    result.leftSlopes[index] = beta * (e * sigmoid(z) - (1 - e) * sigmoid(-z));
    result.rightSlopes[rights[rank]] = result.leftSlopes[index];
  }
  return result;
}

/** The same for one element, in WGSL; `element(list, i)` is that of a list. */
const SORTED = /* wgsl */ `
// How many elements of its list are smaller than the one of this index, or equal and before it.
fn rank_of(list: u32, index: u32) -> u32 {
  let own = element(list, index);
  var rank = 0u;
  for (var i = 0u; i < params.count; i++) {
    let other = element(list, i);
    rank += u32(other < own || (other == own && i < index));
  }
  return rank;
}

// The element of the other list that has the same rank as the one of this index.
fn partner_of(list: u32, index: u32) -> f32 {
  let rank = rank_of(list, index);
  var i = 0u;
  while (i + 1u < params.count && rank_of(1u - list, i) != rank) { i++; }
  return element(1u - list, i);
}

fn slope_at(z: f32) -> f32 {
  return params.beta * (params.label_smoothing * sigmoid(z) - (1.0 - params.label_smoothing) * sigmoid(-z));
}

fn preference_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let e = params.label_smoothing;
  let z = params.beta * (element(0u, pair) - partner_of(0u, pair));
  return Loss(-(1.0 - e) * log_sigmoid(z) - e * log_sigmoid(-z), slope_at(z), -rejected_slope(pair, z));
}`;

export const AOT = {
  reads: ["labelSmoothing"],
  ofAll(pairs, options): PairLoss[] {
    const { values, leftSlopes } = bySortedPairs(
      pairs.map(({ chosen, rejected }) => chosen - rejected),
      pairs.map(({ referenceChosen, referenceRejected }) => referenceChosen - referenceRejected),
      options,
    );
    return values.map((value, i) => ({
      value,
      dchosen: leftSlopes[i],
      drejected: -leftSlopes[i],
    }));
  },
  wgsl: /* wgsl */ `
// Margins of the policy, and of the reference.
fn element(list: u32, i: u32) -> f32 {
  if (list == 0u) { return scores[2u * i].x - scores[2u * i + 1u].x; }
  return reference[2u * i].x - reference[2u * i + 1u].x;
}

fn rejected_slope(pair: u32, z: f32) -> f32 { return slope_at(z); }
${SORTED}`,
} as const satisfies Loss;

export const AOT_UNPAIRED = {
  reads: ["labelSmoothing"],
  ofAll(pairs, options): PairLoss[] {
    const { values, leftSlopes, rightSlopes } = bySortedPairs(
      pairs.map(({ chosen, referenceChosen }) => chosen - referenceChosen),
      pairs.map(({ rejected, referenceRejected }) => rejected - referenceRejected),
      options,
    );
    return values.map((value, i) => ({
      value,
      dchosen: leftSlopes[i],
      drejected: -rightSlopes[i],
    }));
  },
  wgsl: /* wgsl */ `
// Gains of chosen, and of rejected answers.
fn element(list: u32, i: u32) -> f32 { return scores[2u * i + list].x - reference[2u * i + list].x; }

fn rejected_slope(pair: u32, z: f32) -> f32 {
  return slope_at(params.beta * (partner_of(1u, pair) - element(1u, pair)));
}
${SORTED}`,
} as const satisfies Loss;
