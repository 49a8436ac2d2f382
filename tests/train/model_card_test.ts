import assert from "node:assert/strict";
import { renderModelCard } from "../../src/train/model_card.ts";
import { METRICS, RUN, SAMPLES } from "./sample_run.ts";

const card = renderModelCard(RUN, METRICS, SAMPLES);

Deno.test("the card begins with front matter whose values are quoted", () => {
  const hostile = 'a"\n---\nlicense: mit';
  const named = renderModelCard({ ...RUN, options: { ...RUN.options, model: hostile } }, [], []);
  const [, front] = named.split(/^---$/m);
  assert.ok(named.startsWith("---\n"));
  assert.match(front, /^base_model: "a\\"\\n---\\nlicense: mit"$/m);
  assert.match(card, /^ {2}- "fixtures\/pairs\/train\.jsonl"$/m);
  assert.match(card, /^ {2}- dpo$/m);
});

Deno.test("the card has numbers, counts, the data's hash and every option", () => {
  const lines = card.split("\n");
  assert.ok(lines.includes("| loss | 0.69315 | 0.1269 |"));
  assert.ok(lines.includes("| rewards/accuracies | 0.5 | 0.99 |"));
  assert.ok(lines.includes("| rows | 1,400 |"));
  assert.ok(lines.includes("| beta | 0.25 | flag |"));
  assert.match(card, /tokens `5eed`/);
  assert.match(card, /491,904 of 2,066,496 weights/);
  for (const name of Object.keys(RUN.options)) {
    assert.match(card, new RegExp(`^\\| ${name} \\| `, "m"));
  }
});

Deno.test("hostile text stays in its cell", () => {
  const lines = card.split("\n");
  assert.ok(lines.includes(
    '| \\<script\\>alert("1")\\</script\\> | " onload="x \\| y z | \\&lt; \\`a\\` \\*b\\* \\[c\\](javascript:d) |',
  ));
  const ticks = renderModelCard(
    { ...RUN, options: { ...RUN.options, model: "a``b\n# c" } },
    [],
    [],
  );
  assert.match(ticks, /^# ``` a``b # c ``` after/m);
});

Deno.test("a card without evaluations and samples leaves their parts out", () => {
  assert.doesNotMatch(renderModelCard(RUN, [], []), /before and after|undefined|NaN/);
});
