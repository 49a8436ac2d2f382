import assert from "node:assert/strict";
import { hhLikePairs, padded } from "../../src/bench/pairs.ts";
import { treeTokens } from "../../src/dpo/pack.ts";

const pairs = hhLikePairs(8, 512);
const texts = pairs.flatMap(({ chosen, rejected }) => [chosen, rejected]);
const tokens = texts.reduce((sum, { ids }) => sum + ids.length, 0);

Deno.test("bench pairs have HH-RLHF's lengths: 157 tokens a text, 36 % of them repeated prompts", () => {
  const mean = tokens / texts.length;
  assert.ok(Math.abs(mean - 157) < 20, `${mean}`);
  const computed = pairs.reduce((sum, pair) => sum + treeTokens(pair), 0);
  assert.ok(Math.abs(1 - computed / tokens - 0.36) < 0.02, `${computed} of ${tokens}`);
  assert.ok(texts.every(({ ids }) => ids.every((id) => id < 512)));
});

Deno.test("bench pairs are the same every time", () => {
  assert.deepEqual(hhLikePairs(8, 512), pairs);
});

Deno.test("padding fills every text to the longest one's length", () => {
  const longest = Math.max(...texts.map(({ ids }) => ids.length));
  for (const [i, { chosen, rejected }] of padded(pairs).entries()) {
    assert.deepEqual([chosen.ids.length, rejected.ids.length], [longest, longest]);
    const { ids } = pairs[i].chosen;
    assert.deepEqual(chosen.ids.subarray(0, ids.length), ids);
  }
});
