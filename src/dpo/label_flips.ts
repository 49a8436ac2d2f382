// This module is browser compatible.
import { type Audit, findingOf } from "../data/audit.ts";
import type { PreferencePair } from "../data/pairs.ts";
import { scoredTokens } from "./pack.ts";
import type { Reference } from "./reference.ts";

/** Nats per token by which the rejected answer must be likelier. */
const MARGIN = 1;

/**
 * Pairs whose labels may be the wrong way round: the reference finds the rejected answer far likelier per token than the
 * chosen one. A suspicion for people to look at, the most suspicious first, since data may teach just that.
 *
 * @param reference Its scores of pairs that it has not met are not computed.
 */
export function suspectedFlips(
  reference: Pick<Reference, "knows" | "of">,
  pairs: readonly PreferencePair[],
): NonNullable<Audit["suspectedFlips"]> {
  const scored = pairs.filter((pair) => reference.knows([pair]));
  const suspects = scored
    .map((pair) => ({ pair, margin: marginOf(pair, reference.of(pair)) }))
    .filter(({ margin }) => margin < -MARGIN)
    .sort((a, b) => a.margin - b.margin)
    .map(({ pair }) => pair);
  return { ...findingOf(suspects), scored: scored.length };
}

/** Mean log-probability of the chosen completion's tokens less that of the rejected one's. */
function marginOf({ chosen, rejected }: PreferencePair, scores: Float32Array): number {
  const mean = (sum: number, tokens: number) => tokens > 0 ? sum / tokens : 0;
  return mean(scores[1], scoredTokens(chosen, "completion")) -
    mean(scores[5], scoredTokens(rejected, "completion"));
}
