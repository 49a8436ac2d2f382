import assert from "node:assert/strict";
import { FILTER_RULES } from "../../src/config/options.ts";
import type { Example } from "../../src/data/examples.ts";
import { PairFilter } from "../../src/data/filter.ts";
import type { FilterLimits, FilterRule } from "../../src/data/filter_report.ts";
import { filterInWords } from "../../src/data/filter_report.ts";
import { UserError } from "../../src/errors.ts";

const OFF = Object.fromEntries(FILTER_RULES.map((rule) => [rule, "off"])) as FilterLimits;

function pair(chosen: string, rejected: string): Example {
  return { kind: "text", prompt: "Why?", completions: [chosen, rejected] };
}

/** Whether a pair passes a single rule. */
function passes(rule: FilterRule, limit: number, chosen: string, rejected: string): boolean {
  const filter = new PairFilter({ ...OFF, [rule]: limit }, { tokens: "refuse" });
  const failed = filter.judge(pair(chosen, rejected), "row");
  assert.deepEqual(failed, failed.length === 0 ? [] : [rule]);
  return failed.length === 0;
}

/** The limit at which a pair only just passes a rule is what the rule measures. */
function assertMeasure(rule: FilterRule, chosen: string, rejected: string, measure: number): void {
  const stricter = rule.startsWith("min") ? 1e-9 : -1e-9;
  assert.ok(passes(rule, measure, chosen, rejected), `${rule} of ${measure}`);
  assert.ok(!passes(rule, measure + stricter, chosen, rejected), `${rule} beyond ${measure}`);
}

Deno.test("filter: min-chars is about the shorter answer, in Unicode characters", () => {
  assertMeasure("minChars", "  abc😀 ", "ten letters", 4);
  assertMeasure("minChars", "ten letters", "\n ab\n", 2);
  assertMeasure("minChars", "x", "", 0);
});

Deno.test("filter: min-difference is what lies between a common beginning and a common end", () => {
  assertMeasure("minDifference", "One two three four.", "one, two THREE five?", 1 / 4);
  assertMeasure("minDifference", "one two three four five", "one four five", 2 / 5);
  assertMeasure("minDifference", "a a a a", "a a", 1 / 2);
  assertMeasure("minDifference", "same words", "Same words!", 0);
  assertMeasure("minDifference", "", "", 0);
  assertMeasure("minDifference", "x y", "", 1);
});

Deno.test("filter: max-overlap is the share of words that both use", () => {
  assertMeasure("maxOverlap", "red green blue red", "Blue, red, white!", 2 / 4);
  assertMeasure("maxOverlap", "it’s", "IT'S", 1);
  assertMeasure("maxOverlap", "red", "blue", 0);
  assertMeasure("maxOverlap", "...", "!", 1);
});

Deno.test("filter: max-stop-word-ratio is about the chosen answer", () => {
  assertMeasure("maxStopWordRatio", "It's the octopus", "the the", 2 / 3);
  assertMeasure("maxStopWordRatio", "Octopus arms", "the the", 0);
  assertMeasure("maxStopWordRatio", "", "x", 1);
});

Deno.test("filter: min-noun-verb-gain counts nouns and verbs", () => {
  assertMeasure("minNounVerbGain", "The dog sees a cat.", "Very small and quite nice.", 3);
  assertMeasure("minNounVerbGain", "Very small.", "The dog sees a cat.", -3);
});

Deno.test("filter: the tagger takes time in proportion, whatever the text", () => {
  const filter = new PairFilter({ ...OFF, minNounVerbGain: 0 }, { tokens: "refuse" });
  const begin = performance.now();
  for (const piece of ["a", "1", "1-", "'", "http://a.b/", "\ud800", "__proto__ "]) {
    filter.judge(pair(piece.repeat(100_000), "constructor"), "row");
  }
  // A run of 100,000 letters alone takes it 26 s.
  assert.ok(performance.now() - begin < 10_000);
});

Deno.test("filter: max-weak-phrases finds phrases across punctuation, never inside words", () => {
  assertMeasure("maxWeakPhrases", "Well, I don’t\nknow... I'm sorry!", "I don't know", 2);
  assertMeasure("maxWeakPhrases", "Hawaii don't know-how", "x", 0);
});

Deno.test("filter: counts do not depend on an order of rules, and length is watched", () => {
  const limits = { ...OFF, minChars: 5, maxWeakPhrases: 0 };
  const filter = new PairFilter(limits, { tokens: "refuse" });
  assert.deepEqual(filter.judge(pair("I don't know", "no"), "row"), ["minChars", "maxWeakPhrases"]);
  assert.deepEqual(filter.judge(pair("short", "longer one"), "row"), []);
  assert.deepEqual(filter.judge(pair("equal", "equal"), "row"), []);
  assert.deepEqual(filter.judge(pair("a longer one", "a short one"), "row"), []);
  const report = filter.report();
  assert.deepEqual([report.pairs, report.kept, report.withoutText], [4, 3, 0]);
  assert.equal(report.rejected.minChars, 1);
  assert.equal(report.rejected.maxWeakPhrases, 1);
  assert.equal(report.rejected.minDifference, 0);
  assert.deepEqual(report.longerWins, { before: 2.5 / 4, after: 1.5 / 3 });
  assert.match(filterInWords(report), /^3 of 4 pairs are strong, min-chars rejects 1, max-weak/);
  assert.match(filterInWords(report), /longer answer in 62\.5 % of all, in 50\.0 % of the strong$/);
});

Deno.test("filter: messages count with all of their turns", () => {
  const messages = (...contents: string[]) =>
    contents.map((content) => ({ role: "assistant", content }));
  const filter = new PairFilter({ ...OFF, minChars: 7 }, { tokens: "refuse" });
  const example = (chosen: string[]): Example => ({
    kind: "messages",
    prompt: [{ role: "user", content: "Why?" }],
    completions: [messages(...chosen), messages("long enough")],
  });
  assert.deepEqual(filter.judge(example(["abc", "def"]), "row"), []);
  assert.deepEqual(filter.judge(example(["abcdef"]), "row"), ["minChars"]);
});

Deno.test("filter: pairs without text are refused, or kept and counted", () => {
  const example: Example = { kind: "tokens", prompt: [1], completions: [[2], [3]] };
  assert.throws(
    () => new PairFilter(OFF, { tokens: "refuse" }).judge(example, "f.jsonl, line 1"),
    (error) => error instanceof UserError && /Cannot filter f.jsonl, line 1/.test(error.message),
  );
  const lenient = new PairFilter({ ...OFF, minChars: 60 }, { tokens: "keep" });
  assert.deepEqual(lenient.judge(example, "row"), []);
  const report = lenient.report();
  assert.deepEqual([report.pairs, report.kept, report.withoutText], [1, 1, 1]);
  assert.deepEqual(report.longerWins, { before: null, after: null });
  assert.equal(filterInWords(report), "not applied: 1 pairs of token ids have no text");
});
