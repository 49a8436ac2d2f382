// This module is browser compatible.

import { kebabCase } from "../config/values.ts";
import type { FILTER_RULES } from "../config/options.ts";

/** What each rule demands of its measure; "off" demands nothing. */
export type FilterLimits = Readonly<Record<FilterRule, number | "off">>;

/** Rules are options; see src/config/options/filter.ts. */
export type FilterRule = typeof FILTER_RULES[number];

/** What the strong-preference filter met, for people and for the record of a run. */
export interface FilterReport {
  limits: FilterLimits;
  /** Pairs that it looked at, and those that all rules kept. */
  pairs: number;
  kept: number;
  /** Pairs of token ids: kept unseen, because rules need text. */
  withoutText: number;
  /** Pairs that fail each rule; a pair may fail several. */
  rejected: Readonly<Record<FilterRule, number>>;
  /**
   * Share of pairs whose chosen answer is the longer one, half of those as long: what a rule that knows nothing but length
   * would get right. null without pairs.
   */
  longerWins: { before: number | null; after: number | null };
  /** What stop words and word classes were taken from. */
  sources: { stopWords: string; tagger: string };
}

/** The report in a line. */
export function filterInWords({ pairs, kept, withoutText, rejected, longerWins }: FilterReport) {
  if (pairs === withoutText) return `not applied: ${pairs} pairs of token ids have no text`;
  const rules = Object.entries(rejected).filter(([, count]) => count > 0)
    .map(([rule, count]) => `${kebabCase(rule)} rejects ${count}`);
  return [
    `${kept} of ${pairs} pairs are strong`,
    ...rules,
    `chosen is the longer answer in ${percent(longerWins.before)} of all`,
    `in ${percent(longerWins.after)} of the strong`,
  ].join(", ");
}

/** A share as people read it. */
export function percent(share: number | null): string {
  return share === null ? "none" : `${(100 * share).toFixed(1)} %`;
}
