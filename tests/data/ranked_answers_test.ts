import assert from "node:assert/strict";
import { parsePair } from "../../src/data/pair_rows.ts";
import { pairsOf, type RankedPairs } from "../../src/data/ranked_answers.ts";
import { UserError } from "../../src/errors.ts";

const RULES: RankedPairs[] = ["best-worst", "best-all", "adjacent"];

/** The pairs of answers a, b, c, ... with these ratings, as `ca` where c is better, and the ties, under each rule. */
function pairsUnderAll(...ratings: number[]): [string, number][] {
  const answers = ratings.map((rating, i) => ({ answer: "abcde"[i], rating }));
  return RULES.map((rule) => {
    const { pairs, ties } = pairsOf(answers, rule);
    return [pairs.map(({ chosen, rejected }) => `${chosen}${rejected}`).join(" "), ties];
  });
}

Deno.test("ranked answers: pairs of every rule, ties counted", () => {
  assert.deepEqual(pairsUnderAll(2, 3, 1), [["bc", 0], ["ba bc", 0], ["ba ac", 0]]);
  // Two best ones, two worst ones: the first of equals stands first.
  assert.deepEqual(pairsUnderAll(1, 5, 1, 5), [["ba", 0], ["ba bc", 1], ["da", 2]]);
  assert.deepEqual(pairsUnderAll(4, 3, 3, 1), [["ad", 0], ["ab ac ad", 0], ["ab cd", 1]]);
  assert.deepEqual(pairsUnderAll(NaN, 2, NaN, 1), [["bd", 0], ["bd", 0], ["bd", 0]]);
  assert.deepEqual(pairsUnderAll(2, 2, 2), [["", 0], ["", 2], ["", 2]]);
  assert.deepEqual(pairsUnderAll(1), [["", 0], ["", 0], ["", 0]]);
  assert.deepEqual(pairsUnderAll(), [["", 0], ["", 0], ["", 0]]);
});

const row = (value: Record<string, unknown>) => ({ where: "f.jsonl, line 3", value });

/** Chosen and rejected texts of all pairs of a row. */
function answersOf(value: Record<string, unknown>, rankedPairs: RankedPairs) {
  const { example, others = [], ties = 0 } = parsePair(row(value), { rankedPairs });
  const pairs = example === null ? [] : [example, ...others];
  const textOf = (completion: unknown) =>
    Array.isArray(completion) ? completion.map(({ content }) => content).join() : completion;
  return { pairs: pairs.map(({ completions }) => completions.map(textOf).join(">")), ties };
}

Deno.test("ranked answers: rows with ratings, ranks and lists of answers", () => {
  const rated = { instruction: "q", generations: ["x", "y", "z"], ratings: [2, 3, 2] };
  assert.deepEqual(answersOf(rated, "best-worst"), { pairs: ["y>x"], ties: 0 });
  assert.deepEqual(answersOf(rated, "best-all"), { pairs: ["y>x", "y>z"], ties: 0 });
  assert.deepEqual(answersOf(rated, "adjacent"), { pairs: ["y>x"], ties: 1 });
  const ranked = { prompt: "q", completions: ["x", "y", "z"], ranks: [3, 1, 2] };
  assert.deepEqual(answersOf(ranked, "adjacent"), { pairs: ["y>z", "z>x"], ties: 0 });
  const argilla = {
    ...{ instruction: "q", "generations-0": "x", "generations-1": "y", "generations-2": "z" },
    "preference.responses": [["generations-1", "generations-2", "generations-0"]],
  };
  assert.deepEqual(answersOf(argilla, "best-all"), { pairs: ["y>z", "y>x"], ties: 0 });
  const lists = { prompt: "q", chosen: ["c", "d"], rejected: ["r", "s", "t"] };
  assert.deepEqual(answersOf(lists, "best-worst"), { pairs: ["c>r"], ties: 0 });
  assert.deepEqual(answersOf(lists, "best-all"), { pairs: ["c>r", "c>s", "c>t"], ties: 1 });
  assert.deepEqual(answersOf({ ...lists, chosen: "c" }, "best-all").pairs, ["c>r", "c>s", "c>t"]);
  const swift = {
    messages: [{ role: "user", content: "q" }, { role: "assistant", content: "c" }],
    rejected_response: ["r", "s"],
  };
  assert.deepEqual(answersOf(swift, "best-all"), { pairs: ["c>r", "c>s"], ties: 0 });
  const { format } = parsePair(row(rated), { rankedPairs: "best-all" });
  assert.equal(format, 'answers in "generations" with ratings, best against all');
});

Deno.test("ranked answers: a list on one side only does not hide that the other is missing", () => {
  for (const rankedPairs of RULES) {
    assert.throws(
      () => parsePair(row({ prompt: "q", chosen: ["c", "d"] }), { rankedPairs }),
      (error) => error instanceof UserError && /line 3: .*rejected/.test(error.message),
    );
  }
});
