import assert from "node:assert/strict";
import { loadModel } from "../../src/model/load.ts";
import { promptLogprobs } from "../../src/generate/prompt_logprobs.ts";
import { klOf, measureDrawn, shapeOf } from "../../src/run/drawn_answers.ts";
import { gpu } from "../kernels/harness.ts";
import { randomCheckpoint, smallConfig } from "../model/small_models.ts";

const load = (seed: number) =>
  loadModel(gpu, randomCheckpoint(smallConfig(), seed), { precision: "f32", positions: 64 });
const PROMPTS = [[1, 2, 3], [4, 5], [7, 8, 9, 10, 11]];
const OPTIONS = { maxNewTokens: 20, stopIds: [] };

Deno.test("KL of a model against itself is 0 to the bit, and against another one above", async () => {
  const model = await load(1);
  const itself = await measureDrawn(model, await load(1), PROMPTS, OPTIONS);
  assert.equal(itself.kl, 0);
  const other = await measureDrawn(model, await load(2), PROMPTS, OPTIONS);
  assert.ok(other.kl > 0);
  const { kl: _, ...shape } = other;
  assert.deepEqual(await measureDrawn(model, null, PROMPTS, OPTIONS), shape);
  assert.deepEqual(await measureDrawn(model, null, [], OPTIONS), {});
});

Deno.test("the estimator agrees with the exact divergence of the next token", async () => {
  // Over the whole vocabulary, the expectation of k3 is the divergence.
  const [policy, reference] = [await load(1), await load(2)];
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
    (sum, logp, id) => sum + Math.exp(logp) * klOf([theirs[id] - logp]),
    0,
  );
  assert.ok(Math.abs(exact - expected) < 1e-5, `${exact}, ${expected}`);
});

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
