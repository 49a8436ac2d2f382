import assert from "node:assert/strict";
import { parsePair } from "../../src/data/pair_rows.ts";
import { type DataOptions, loadPairs } from "../../src/data/pairs.ts";
import type { TermColumns } from "../../src/data/terms.ts";
import { UserError } from "../../src/errors.ts";

const tokens = { prompt_ids: [1], chosen_ids: [2], rejected_ids: [3] };
const usual: TermColumns = { margin: null, weight: null };
const row = (value: Record<string, unknown>, i = 3) => ({
  where: `f.jsonl, line ${i}`,
  value: { ...tokens, ...value },
});

Deno.test("margins and weights: under their usual names, named, left out, absent", () => {
  const termsOf = (value: Record<string, unknown>, terms: TermColumns = usual) =>
    parsePair(row(value), { terms }).terms;
  assert.deepEqual(termsOf({ margin: -0.5, weight: "2" }), { margin: -0.5, weight: 2 });
  assert.deepEqual(termsOf({ margin: 0.1 }), { margin: Math.fround(0.1) });
  assert.equal(termsOf({ margin: null, more: 1 }), undefined);
  assert.deepEqual(termsOf({ gap: 3, margin: 1 }, { ...usual, margin: "gap" }), { margin: 3 });
  assert.equal(termsOf({ gap: null }, { ...usual, margin: "gap" }), undefined);
  assert.equal(termsOf({ margin: "high" }, { ...usual, margin: "none" }), undefined);
  // Nobody asked for them.
  assert.equal(parsePair(row({ margin: "high" })).terms, undefined);
  const { additions, columns } = parsePair(row({ gap: 3, weight: 1 }), {
    terms: { ...usual, margin: "gap" },
  });
  assert.deepEqual(additions, ['margin in "gap"', "weight"]);
  assert.deepEqual(columns.slice(-2), ["gap", "weight"]);
});

Deno.test("margins and weights: what is none, or of no use, is refused by row", () => {
  const refused: [Record<string, unknown>, Partial<TermColumns>, RegExp][] = [
    [{ weight: -1 }, {}, /line 3: expected "weight" to be a number of at least 0, found -1$/],
    [{ weight: NaN }, {}, /"weight" to be a number of at least 0, found NaN/],
    [{ weight: "" }, {}, /"weight" to be a number of at least 0, found ""/],
    [{ margin: [1] }, {}, /"margin" to be a number, found a list/],
    [{ margin: 1e39 }, {}, /"margin" to be a number, found 1e\+39/],
    [{}, { weight: "w" }, /a column "w" for --weight-column, found prompt_ids, chosen_ids/],
    [
      { margin: 0 },
      { refused: { margin: "simpo" } },
      /no margin with --loss-type simpo, found "margin": --margin-column none leaves it out/,
    ],
  ];
  for (const [value, columns, message] of refused) {
    assert.throws(() => parsePair(row(value), { terms: { ...usual, ...columns } }), (error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, message);
      return true;
    });
  }
});

const options: DataOptions = {
  maxLengthTokens: 8,
  truncation: "keep_start",
  appendEos: false,
  score: "completion",
  vocabSize: 9,
  terms: usual,
};

Deno.test("margins and weights: they go with the pair, and into what a dataset is known by", async () => {
  const load = (...values: Record<string, unknown>[]) => loadPairs(values.map(row), null, options);
  const { pairs, counts, hash } = await load({ margin: 1 }, {}, { weight: 0 });
  assert.deepEqual(pairs.map(({ margin, weight }) => [margin, weight]), [
    [1, undefined],
    [undefined, undefined],
    [undefined, 0],
  ]);
  assert.deepEqual([counts.withMargin, counts.withWeight], [1, 1]);
  assert.notEqual((await load({ margin: 2 }, {}, { weight: 0 })).hash, hash);
  await assert.rejects(
    load({ weight: 0 }, { weight: 0 }),
    /expected a weight above 0, found none in 2 rows/,
  );
});
