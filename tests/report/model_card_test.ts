import assert from "node:assert/strict";
import { renderModelCard } from "../../src/report/model_card.ts";
import { METRICS, RUN, SAMPLES } from "./sample_run.ts";

const card = renderModelCard(RUN, METRICS, SAMPLES);

/** The lines between the first two rules. */
function frontMatterOf(card: string): string[] {
  assert.ok(card.startsWith("---\n"));
  return card.split(/^---$/m)[1].trim().split("\n");
}

Deno.test("the card begins with front matter that names what came from the hub, and no local paths", () => {
  const local = frontMatterOf(card);
  assert.ok(local.includes("  - dpo"));
  assert.doesNotMatch(local.join("\n"), /fixtures|base_model|datasets/);

  const cache = "/home/a/.cache/huggingface/hub";
  const snapshot = `snapshots/${"0".repeat(40)}`;
  const [data] = RUN.data;
  const rows = `${cache}/datasets--Anthropic--hh-rlhf/${snapshot}`;
  const fromHub = {
    ...RUN,
    source: `${cache}/models--HuggingFaceTB--SmolLM-135M/${snapshot}`,
    data: [
      { ...data, files: [`${rows}/a/train.jsonl.gz`, `${rows}/b/train.jsonl.gz`] },
      data,
    ],
  };
  const lines = frontMatterOf(renderModelCard(fromHub, [], []));
  assert.ok(lines.includes('base_model: "HuggingFaceTB/SmolLM-135M"'));
  const begin = lines.indexOf("datasets:");
  assert.deepEqual(lines.slice(begin, begin + 3), [
    "datasets:",
    '  - "Anthropic/hh-rlhf"',
    "tags:",
  ]);

  const hostile = { ...RUN, source: 'x/models--a"\n---\nlicense: mit--b/snapshots/0' };
  assert.doesNotMatch(
    frontMatterOf(renderModelCard(hostile, [], [])).join("\n"),
    /license|base_model/,
  );
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

Deno.test("the card names the loss and its paper", () => {
  const titleOf = (change: Record<string, unknown>) =>
    /^# .*/m.exec(renderModelCard({ ...RUN, options: { ...RUN.options, ...change } }, [], []))![0];
  assert.match(titleOf({}), /after Direct Preference Optimization \(Rafailov .*2305\.18290\)$/);
  assert.match(titleOf({ syncRefModel: true }), /, with a reference that follows .*2404\.09656\)$/);
  const sum = titleOf({ lossType: "orpo,sft", lossWeights: [1, 0.5] });
  assert.match(sum, /with the loss `orpo \+ 0\.5 sft` \(Hong et al\. 2024, arXiv:2403\.07691\)$/);
});
