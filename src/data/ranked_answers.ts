// This module is browser compatible.

/**
 * Pairs of answers that are rated or ranked.
 *
 * @module
 */

/** Which pairs a row with several answers makes. */
export type RankedPairs = "best-worst" | "best-all" | "adjacent";

/** An answer and how good it is; NaN if nobody said. */
export interface RankedAnswer {
  answer: unknown;
  rating: number;
}

/** The pairs of a row. */
export interface PairsOfRow {
  pairs: { chosen: unknown; rejected: unknown }[];
  /** Answers that the rule sets against another one, but that are as good: they make no pair. */
  ties: number;
}

/**
 * Pairs answers; of equally good ones the first stands first.
 *
 * - `best-worst`: the best one against the worst one;
 * - `best-all`: the best one against each other one;
 * - `adjacent`: each one against the next worse one in order.
 *
 * @returns No pairs if no answer is better than another.
 */
export function pairsOf(answers: readonly RankedAnswer[], rule: RankedPairs): PairsOfRow {
  const known = answers.filter(({ rating }) => !Number.isNaN(rating));
  const sorted = known.toSorted((a, b) => b.rating - a.rating);
  if (sorted.length < 2) return { pairs: [], ties: 0 };
  const [best, ...others] = sorted;
  if (rule === "best-worst") {
    const worst = known.find(({ rating }) => rating === sorted.at(-1)!.rating)!;
    return best.rating === worst.rating
      ? { pairs: [], ties: 0 }
      : { pairs: [{ chosen: best.answer, rejected: worst.answer }], ties: 0 };
  }
  const matches = others.map((worse, i) => [rule === "adjacent" ? sorted[i] : best, worse]);
  const pairs = matches.filter(([a, b]) => a.rating !== b.rating);
  return {
    pairs: pairs.map(([a, b]) => ({ chosen: a.answer, rejected: b.answer })),
    ties: matches.length - pairs.length,
  };
}

/** A rule in words. */
export function ruleInWords(rule: RankedPairs): string {
  return {
    "best-worst": "best against worst",
    "best-all": "best against all",
    adjacent: "each against the next",
  }[rule];
}
