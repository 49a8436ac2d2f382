import assert from "node:assert/strict";
import { loadModel } from "../../src/model/load.ts";
import { promptLogprobs } from "../../src/generate/prompt_logprobs.ts";
import { klOf, measureDrawn, shapeOf } from "../../src/run/drawn_answers.ts";
import { halfWidth } from "../../src/dpo/metrics.ts";
import { gpu, lackOfF16 } from "../kernels/harness.ts";
import { randomCheckpoint, smallConfig } from "../model/small_models.ts";
import { unless } from "../skip.ts";

type Precision = "f32" | "f16";
const load = (seed: number, precision: Precision = "f32") =>
  loadModel(gpu, randomCheckpoint(smallConfig(), seed), { precision, positions: 64 });
const PROMPTS = [[1, 2, 3], [4, 5], [7, 8, 9, 10, 11]];
const OPTIONS = { maxNewTokens: 20, stopIds: [] };

for (const precision of ["f32", "f16"] as const) {
  const lack = precision === "f16" ? lackOfF16 : null;
  Deno.test({
    ...unless(lack, `KL of equal models is 0 to the bit, and of others above: ${precision}`),
    async fn() {
      const model = await load(1, precision);
      const none = { kl: 0, kl_ci95: 0 };
      const { kl, kl_ci95, ...shape } = await measureDrawn(
        model,
        await load(1, precision),
        PROMPTS,
        OPTIONS,
      );
      assert.deepEqual({ kl, kl_ci95 }, none);
      assert.deepEqual(await measureDrawn(model, model, PROMPTS, OPTIONS), { ...none, ...shape });
      const reference = await load(2, precision);
      const other = await measureDrawn(model, reference, PROMPTS, OPTIONS);
      assert.ok(other.kl > 0 && other.kl_ci95 > 0);
      assert.deepEqual(other, { ...shape, kl: other.kl, kl_ci95: other.kl_ci95 });
      assert.deepEqual(await measureDrawn(model, null, PROMPTS, OPTIONS), shape);
      assert.deepEqual(await measureDrawn(model, null, [], OPTIONS), {});
      const [one] = PROMPTS;
      assert.ok(!("kl_ci95" in await measureDrawn(model, reference, [one], OPTIONS)));
    },
  });

  Deno.test({
    ...unless(lack, `the estimator agrees with the next token's exact divergence: ${precision}`),
    fn: () => agreesWithExact(precision),
  });
}

async function agreesWithExact(precision: Precision) {
  // Over the whole vocabulary, the expectation of k3 is the divergence, to how far probabilities add up to 1.
  const [policy, reference] = [await load(1, precision), await load(2, precision)];
  const prompt = [1, 2, 3];
  const distribution = async (model: typeof policy) => {
    const all: number[] = [];
    for (let id = 0; id < model.weights.config.vocabSize; id++) {
      all.push((await promptLogprobs(model, [...prompt, id], 0)).at(-1)!.logprob);
    }
    return all;
  };
  const [ours, theirs] = [await distribution(policy), await distribution(reference)];
  const exact = ours.reduce((sum, logp, id) => sum + Math.exp(logp) * (logp - theirs[id]), 0);
  const expected = ours.reduce(
    (sum, logp, id) => sum + Math.exp(logp) * klOf([[theirs[id] - logp]]).kl,
    0,
  );
  assert.ok(Math.abs(exact - expected) < 1e-5, `${exact}, ${expected}`);
}

Deno.test("the interval of KL is over answers: of a mean where they are of one length, of a ratio elsewhere", () => {
  const k3 = (gap: number) => Math.expm1(gap) - gap;
  const even = [[0.1, -0.4], [0.3, 0.2], [-1, 0.5]];
  const means = even.map(([a, b]) => (k3(a) + k3(b)) / 2);
  assertClose(klOf(even).kl_ci95!, halfWidth(means));
  assertClose(klOf(even).kl, (means[0] + means[1] + means[2]) / 3);
  // By hand: sums 2a and b of 2 and 1 tokens.
  const [a, b] = [k3(0.5), k3(-2)];
  const mean = (2 * a + b) / 3;
  const squares = (2 * a - 2 * mean) ** 2 + (b - mean) ** 2;
  const uneven = klOf([[0.5, 0.5], [-2]]);
  assertClose(uneven.kl, mean);
  assertClose(uneven.kl_ci95!, 1.96 * Math.sqrt(2 * squares) / 3);
  assert.deepEqual(klOf([[0, 0]]), { kl: 0 });
});

function assertClose(found: number, expected: number) {
  assert.ok(Math.abs(found - expected) < 1e-12, `${found}, expected ${expected}`);
}

Deno.test("length, end and repetition of answers", () => {
  const ended = { ids: [1, 2, 3, 4, 1, 2, 3, 4, 9], finishReason: "stop" as const };
  const cut = { ids: [5, 5, 5, 5, 5, 5], finishReason: "length" as const };
  const short = { ids: [9], finishReason: "stop" as const };
  assert.deepEqual(shapeOf([ended, cut, short]), {
    "completions/mean_length": 16 / 3,
    "completions/clipped_ratio": 1 / 3,
    "completions/seq_rep_4": ((1 - 5 / 6) + (1 - 1 / 3)) / 2,
  });
  assert.ok(!("completions/seq_rep_4" in shapeOf([short])));
});
