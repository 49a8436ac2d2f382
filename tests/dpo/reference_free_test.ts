import assert from "node:assert/strict";
import { scorePairs } from "../../src/dpo/evaluate.ts";
import { startDpo } from "../../src/train/training.ts";
import { pairLosses } from "../../src/losses/losses.ts";
import { gpu } from "../kernels/harness.ts";
import {
  options,
  randomCheckpoint,
  randomPairs,
  smallConfig,
  takeStep,
} from "../model/small_models.ts";

const NEAR = 1e-5;

Deno.test("a loss that does without a reference has none: rewards are beta times scores", async () => {
  const checkpoint = randomCheckpoint(smallConfig(), 1);
  const pairs = randomPairs(2, 5, checkpoint.config.vocabSize, 30);
  const all = options("train", { "loss-type": "simpo", beta: 2, "max-length": 64 });
  const training = await startDpo(gpu, checkpoint, null, pairs, all, "f32");
  assert.equal(training.run.reference, null);
  const scored = await Array.fromAsync(scorePairs(training.model, pairs));
  const scores = scored.map(({ chosen, rejected }) => ({
    chosen: chosen.mean,
    rejected: rejected.mean,
    referenceChosen: NaN,
    referenceRejected: NaN,
  }));
  const mean = (numbers: number[]) => numbers.reduce((a, b) => a + b) / numbers.length;
  const expected: Record<string, number> = {
    "loss": mean(pairLosses(all, scores, 1).map(({ value }) => value)),
    "rewards/chosen": mean(scores.map(({ chosen }) => 2 * chosen)),
    "rewards/rejected": mean(scores.map(({ rejected }) => 2 * rejected)),
    "rewards/accuracies": mean(scores.map(({ chosen, rejected }) => chosen > rejected ? 1 : 0)),
  };
  const { metrics } = await takeStep(training, [...pairs.keys()]);
  const evaluated = await training.evaluate(pairs, true);
  for (const [name, value] of Object.entries(expected)) {
    assert.ok(Math.abs(metrics[name] - value) < NEAR, `${name}: ${metrics[name]}, not ${value}`);
    assert.ok(Math.abs(evaluated[`eval_${name}`] - value) < NEAR, `eval_${name}`);
  }
});
