// This module is browser compatible.

/**
 * The strong-preference filter: keeps pairs whose chosen answer is better by signs that can be counted. Every rule is one
 * number per pair and a limit on it. All rules look at every pair, so their counts do not depend on an order.
 *
 * @module
 */

import { eng as STOP_WORDS } from "stopword"; // a kept list with a name, rather than one more of our own
import tagger from "wink-pos-tagger"; // 400 k tokens/s and as near to gold tags as NLTK's, whose weights are not published for JavaScript
import { FILTER_RULES } from "../config/options.ts";
import { UserError } from "../errors.ts";
import type { Message } from "../text/chat.ts";
import type { Example } from "./examples.ts";
import type { FilterLimits, FilterReport, FilterRule } from "./filter_report.ts";

/** An answer as the rules look at it. */
interface Answer {
  /** Without space around it, with straight apostrophes. */
  text: string;
  /** In lower case. */
  words: string[];
}

interface AnswerPair {
  chosen: Answer;
  rejected: Answer;
}

/** Answers that keep something back; as words, so that they are found across punctuation. */
const WEAK_PHRASES = [
  "i don't know",
  "i do not know",
  "i have no idea",
  "i'm not sure",
  "i am not sure",
  "i'm not certain",
  "i don't understand",
  "i'm not familiar",
  "i can't help",
  "i cannot help",
  "i can't answer",
  "i cannot answer",
  "i'm sorry",
  "i apologize",
  "as an ai",
  "as a language model",
  "it's hard to say",
];

/** What each rule measures: one that begins with `min` keeps pairs that measure so much or more, `max` so much or less. */
const MEASURES: Record<FilterRule, (pair: AnswerPair) => number> = {
  /** Characters of the shorter answer. */
  minChars: ({ chosen, rejected }) => Math.min(characters(chosen), characters(rejected)),
  /** Share of the longer answer that is left without what both begin and end with. */
  minDifference: ({ chosen, rejected }) => difference(chosen.words, rejected.words),
  /** Words that both answers use, of all words that either uses. */
  maxOverlap: ({ chosen, rejected }) => overlap(new Set(chosen.words), new Set(rejected.words)),
  /** Share of the chosen answer's words that are stop words. */
  maxStopWordRatio: ({ chosen: { words } }) => words.length === 0 ? 1 : share(words, isStopWord),
  /** Nouns and verbs that chosen has more than rejected. */
  minNounVerbGain: ({ chosen, rejected }) => nounsAndVerbs(chosen) - nounsAndVerbs(rejected),
  /** Weak phrases in the chosen answer. */
  maxWeakPhrases: ({ chosen: { words } }) => {
    const spaced = ` ${words.join(" ")} `;
    return WEAK_PHRASES.filter((phrase) => spaced.includes(` ${phrase} `)).length;
  },
};

/** Judges pairs one by one and counts. */
export class PairFilter {
  readonly limits: FilterLimits;
  #pairs = 0;
  #kept = 0;
  #withoutText = 0;
  #rejected = perRule(() => 0);
  /** Pairs in which chosen is longer, and half of those with answers as long: all, and kept. */
  #longer = 0;
  #longerKept = 0;

  /**
   * @param limits May hold more than the rules, as options do.
   * @param options.tokens Whether pairs of token ids, which have no text, are an error or are kept and counted.
   */
  constructor(limits: FilterLimits, readonly options: { tokens: "refuse" | "keep" }) {
    this.limits = perRule((rule) => limits[rule]);
  }

  /**
   * @param where How messages call the pair.
   * @returns The rules that the pair fails; none if it is kept.
   * @throws {UserError} If it is a single answer, or has no text and may not be kept without.
   */
  judge(example: Example, where: string): FilterRule[] {
    if (example.completions.length === 1) {
      throw new UserError(
        `Cannot filter ${where}: expected a pair, whose answers the filter compares, found a single answer: use --filter none`,
      );
    }
    this.#pairs++;
    if (example.kind === "tokens") {
      if (this.options.tokens === "keep") {
        this.#withoutText++;
        this.#kept++;
        return [];
      }
      throw new UserError(
        `Cannot filter ${where}: expected text or messages, found token ids; filter before tokenizing`,
      );
    }
    const [chosen, rejected] = example.completions.map(answer);
    const failed = FILTER_RULES.filter((rule) => {
      const limit = this.limits[rule];
      if (limit === "off") return false;
      const value = MEASURES[rule]({ chosen, rejected });
      return rule.startsWith("min") ? value < limit : value > limit;
    });
    for (const rule of failed) this.#rejected[rule]++;
    const longer = (Math.sign(characters(chosen) - characters(rejected)) + 1) / 2;
    this.#longer += longer;
    if (failed.length === 0) {
      this.#kept++;
      this.#longerKept += longer;
    }
    return failed;
  }

  report(): FilterReport {
    const share = (count: number, all: number) => all === 0 ? null : count / all;
    return {
      limits: this.limits,
      pairs: this.#pairs,
      kept: this.#kept,
      withoutText: this.#withoutText,
      rejected: { ...this.#rejected },
      longerWins: {
        before: share(this.#longer, this.#pairs - this.#withoutText),
        after: share(this.#longerKept, this.#kept - this.#withoutText),
      },
      sources: {
        stopWords: `the English list of npm stopword (${STOP_WORDS.length} words)`,
        tagger: "wink-pos-tagger, not NLTK's",
      },
    };
  }
}

function perRule<T>(value: (rule: FilterRule) => T): Record<FilterRule, T> {
  return Object.fromEntries(FILTER_RULES.map((rule) => [rule, value(rule)])) as Record<
    FilterRule,
    T
  >;
}

function answer(completion: string | readonly Message[]): Answer {
  const raw = typeof completion === "string"
    ? completion
    : completion.map(({ content }) => content ?? "").join("\n");
  const text = raw.trim().replaceAll("’", "'");
  return { text, words: text.toLowerCase().match(/[\p{L}\p{N}]+(?:'\p{L}+)*/gu) ?? [] };
}

/** Of Unicode, not of UTF-16. */
function characters({ text }: Answer): number {
  let count = text.length;
  for (const _ of text.matchAll(/[\ud800-\udbff][\udc00-\udfff]/g)) count--;
  return count;
}

function difference(a: readonly string[], b: readonly string[]): number {
  const [shorter, longer] = a.length < b.length ? [a, b] : [b, a];
  if (longer.length === 0) return 0;
  let begin = 0, end = 0;
  while (begin < shorter.length && shorter[begin] === longer[begin]) begin++;
  while (end < shorter.length - begin && shorter.at(-1 - end) === longer.at(-1 - end)) end++;
  return 1 - (begin + end) / longer.length;
}

function overlap(a: Set<string>, b: Set<string>): number {
  const all = a.union(b).size;
  return all === 0 ? 1 : a.intersection(b).size / all;
}

const stopWords = new Set(STOP_WORDS);

/** Of a word with an apostrophe what stands before it counts: "it's" as "it". */
function isStopWord(word: string): boolean {
  return stopWords.has(word.split("'", 1)[0]);
}

function share<T>(items: readonly T[], is: (item: T) => boolean): number {
  return items.filter(is).length / items.length;
}

const { tagSentence } = tagger() as {
  tagSentence(text: string): { pos: string }[];
};

function nounsAndVerbs({ text }: Answer): number {
  // What has no space for so long is no word, and the tagger's time grows with the square of its length.
  const tokens = tagSentence(text.replace(/\S{50,}/g, " "));
  return tokens.filter(({ pos }) => /^(?:NN|VB)/.test(pos)).length;
}
