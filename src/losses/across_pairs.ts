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

/**
 * The same for one element, in WGSL, with `NAME_element(list, i)` that is one of a list; what it declares begins with NAME too.
 *
 * @param drejected The derivative by the rejected score of `pair`; `slope` is that by the chosen score.
 */
const sorted = (name: string, drejected: string) => /* wgsl */ `
// How many elements of its list are smaller than the one of this index, or equal and before it.
fn ${name}_rank(list: u32, index: u32) -> u32 {
  let own = ${name}_element(list, index);
  var rank = 0u;
  for (var i = 0u; i < params.count; i++) {
    let other = ${name}_element(list, i);
    rank += u32(other < own || (other == own && i < index));
  }
  return rank;
}

// The element of the other list that has the same rank as the one of this index.
fn ${name}_partner(list: u32, index: u32) -> f32 {
  let rank = ${name}_rank(list, index);
  var i = 0u;
  while (i + 1u < params.count && ${name}_rank(1u - list, i) != rank) { i++; }
  return ${name}_element(1u - list, i);
}

fn ${name}_slope(z: f32) -> f32 {
  return params.beta * (params.label_smoothing * sigmoid(z) - (1.0 - params.label_smoothing) * sigmoid(-z));
}

fn ${name}_loss(pair: u32, gain: vec2<f32>) -> Loss {
  let e = params.label_smoothing;
  let z = params.beta * (${name}_element(0u, pair) - ${name}_partner(0u, pair));
  let slope = ${name}_slope(z);
  return Loss(-(1.0 - e) * log_sigmoid(z) - e * log_sigmoid(-z), slope, ${drejected});
}`;

/** Losses that compare sorted numbers of all pairs, whose pair they are does not matter. */
export const ACROSS_PAIRS = {
  /** AOT: margins of the policy against those of the reference. */
  aot: {
    paper: "Melnyk et al. 2024, arXiv:2406.05882",
    reads: ["labelSmoothing"],
    sorts: true,
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
fn aot_element(list: u32, i: u32) -> f32 {
  if (list == 0u) { return scores[2u * i].x - scores[2u * i + 1u].x; }
  return reference[2u * i].x - reference[2u * i + 1u].x;
}
${sorted("aot", "-slope")}`,
  },

  /** AOT: gains of chosen answers against gains of rejected ones. */
  aot_unpaired: {
    paper: "Melnyk et al. 2024, arXiv:2406.05882",
    reads: ["labelSmoothing"],
    sorts: true,
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
fn aot_unpaired_element(list: u32, i: u32) -> f32 {
  return scores[2u * i + list].x - reference[2u * i + list].x;
}
${
      sorted(
        "aot_unpaired",
        "-aot_unpaired_slope(params.beta * (aot_unpaired_partner(1u, pair) - aot_unpaired_element(1u, pair)))",
      )
    }`,
  },
} as const satisfies Record<string, Loss>;
