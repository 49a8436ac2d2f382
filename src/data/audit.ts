// This module is browser compatible.

/**
 * What is odd about preference data: things that training goes through without a complaint and learns the wrong from.
 *
 * @module
 */

import { mix } from "../random.ts";
import { percent } from "./filter_report.ts";
import type { PairCounts, PreferencePair } from "./pairs.ts";

/** Pairs of one kind. */
export interface Finding {
  count: number;
  /** The first of them, by their rows in the dataset, counted from 0. */
  rows: number[];
}

/** What an audit of pairs finds; all by tokens, as training sees them. */
export interface Audit {
  pairs: number;
  /** Pairs that an earlier one equals. */
  duplicates: Finding;
  /** Pairs that an earlier one has the other way round: one of the two is wrong. */
  contradictions: Finding;
  /** Pairs with the same answer twice: they teach nothing. */
  identical: Finding;
  /** Pairs, or answers, left out because an answer is empty. */
  emptyAnswers: number;
  /** Pairs that are among the training data, and those of which only the prompt is; in held-out data. */
  leakedPairs?: Finding;
  leakedPrompts?: Finding;
  /** Share of pairs whose chosen answer has more tokens, half of those with as many: what length alone would get right. Not
   * of single answers. */
  longerWins?: number;
  /** Of single answers, those that are good. */
  good?: number;
  /** Pairs whose labels the reference doubts, of those that it has scored; see src/dpo/label_flips.ts. */
  suspectedFlips?: Finding & { scored: number };
}

const ROWS_SHOWN = 10;

/** Lists the rows of pairs. */
export function findingOf(pairs: readonly PreferencePair[]): Finding {
  return { count: pairs.length, rows: pairs.slice(0, ROWS_SHOWN).map(({ index }) => index) };
}

/**
 * Looks at all pairs of a dataset.
 *
 * @param training The data that held-out pairs must not be among.
 */
export function auditPairs(
  pairs: readonly PreferencePair[],
  { droppedEmptyCompletion }: Pick<PairCounts, "droppedEmptyCompletion">,
  training?: readonly PreferencePair[],
): Audit {
  const seen = new Set<string>();
  const found = {
    duplicates: [] as PreferencePair[],
    contradictions: [] as PreferencePair[],
    identical: [] as PreferencePair[],
  };
  let longer = 0;
  for (const pair of pairs) {
    const { itself, opposite } = fingerprint(pair);
    if (itself === opposite) found.identical.push(pair);
    else if (seen.has(opposite)) found.contradictions.push(pair);
    if (seen.has(itself)) found.duplicates.push(pair);
    seen.add(itself);
    const more = completionTokens(pair.chosen) - completionTokens(pair.rejected);
    longer += more > 0 ? 1 : more === 0 ? 0.5 : 0;
  }
  return {
    pairs: pairs.length,
    duplicates: findingOf(found.duplicates),
    contradictions: findingOf(found.contradictions),
    identical: findingOf(found.identical),
    emptyAnswers: droppedEmptyCompletion,
    ...training === undefined ? {} : leakage(pairs, training),
    ...pairs.some(({ label }) => label !== undefined)
      ? { good: pairs.filter(({ label }) => label).length }
      : { longerWins: longer / pairs.length },
  };
}

function leakage(
  pairs: readonly PreferencePair[],
  training: readonly PreferencePair[],
): Required<Pick<Audit, "leakedPairs" | "leakedPrompts">> {
  const [known, knownPrompts] = [new Set<string>(), new Set<string>()];
  for (const pair of training) {
    const { prompt, itself } = fingerprint(pair);
    known.add(itself);
    knownPrompts.add(prompt);
  }
  const leaked = pairs.filter((pair) => {
    const { itself, opposite } = fingerprint(pair);
    // The other way round the answers are known as well.
    return known.has(itself) || known.has(opposite);
  });
  const whole = new Set(leaked);
  const prompts = pairs.filter((pair) =>
    !whole.has(pair) && knownPrompts.has(fingerprint(pair).prompt)
  );
  return { leakedPairs: findingOf(leaked), leakedPrompts: findingOf(prompts) };
}

function completionTokens({ ids, promptLength }: PreferencePair["chosen"]): number {
  return ids.length - promptLength;
}

/** A pair by its answers, and the other way round; a single answer by its label, and by the other one. */
function fingerprint({ chosen, rejected, label }: PreferencePair) {
  const prompt = digest(chosen.ids.subarray(0, chosen.promptLength));
  const own = digest(chosen.ids);
  const other = digest(rejected.ids);
  return label === undefined
    ? { prompt, itself: `${own} ${other}`, opposite: `${other} ${own}` }
    : { prompt, itself: `${own} ${label}`, opposite: `${own} ${!label}` };
}

/**
 * 64 bits of two sums that every token stirs (the finalizer of MurmurHash3): a million sequences meet by chance once in
 * forty million datasets.
 */
function digest(ids: Uint32Array): string {
  let [a, b] = [0x9e3779b9 ^ ids.length, 0x85ebca6b];
  for (const id of ids) {
    a = Math.imul(a ^ id, 0xcc9e2d51);
    a ^= a >>> 15;
    b = Math.imul(b + id, 0x1b873593);
    b = (b ^ (b >>> 13)) + a;
  }
  return [a, b ^ a].map((sum) => mix(sum ^ (sum >>> 16)).toString(36)).join(".");
}

/** Suspected flips in words, nothing if there are none. */
export function flipsInWords({ count, scored, rows }: NonNullable<Audit["suspectedFlips"]>) {
  if (count === 0) return "";
  const others = count > rows.length ? ", ..." : "";
  return `the reference doubts ${count} of ${scored} labels, in rows ${rows.join(", ")}${others}`;
}

/** Where length alone would get so many pairs right, or wrong, it may be what is learned. */
const LENGTH_BIAS = 0.6;

/** What the audited rows are made into. */
export function auditedUnit({ good }: Audit): "pairs" | "answers" {
  return good === undefined ? "pairs" : "answers";
}

/** The findings in words, nothing if there are none. */
export function auditInWords(audit: Audit): string {
  const unit = auditedUnit(audit);
  const counted: [finding: { count: number } | undefined, words: string][] = [
    [audit.duplicates, `duplicates of earlier ${unit}`],
    [audit.contradictions, `${unit} that contradict an earlier one`],
    [audit.identical, "pairs with the same answer twice"],
    [{ count: audit.emptyAnswers }, `${unit} left out for an empty answer`],
    [audit.leakedPairs, `${unit} that are training data`],
    [audit.leakedPrompts, "prompts that are in the training data"],
  ];
  const { longerWins = 0.5 } = audit;
  const bias = Math.max(longerWins, 1 - longerWins) >= LENGTH_BIAS
    ? [`chosen is longer in ${percent(longerWins)} of pairs`]
    : [];
  return [
    ...counted.flatMap(([finding, words]) => finding?.count ? [`${finding.count} ${words}`] : []),
    ...bias,
    ...audit.good === undefined ? [] : [`${audit.good} of ${audit.pairs} answers are good`],
  ].join(", ");
}
