import assert from "node:assert/strict";
import { startDpo } from "../../src/train/training.ts";
import { pairLosses } from "../../src/losses/losses.ts";
import { gpu } from "../kernels/harness.ts";
import {
  options,
  randomCheckpoint,
  randomPairs,
  smallConfig,
  takeStep,
  tensorsOf,
} from "../model/small_models.ts";
import { tokenLogprobs } from "../reference/model.ts";

const ALPHA = 0.25;

for (const logprob of ["sum", "mean"]) {
  Deno.test(`ld_alpha: tokens beyond the shorter answer weigh less, for policy and reference, ${logprob}`, async () => {
    const checkpoint = randomCheckpoint(smallConfig(), 1);
    const reference = randomCheckpoint(checkpoint.config, 2);
    const pairs = randomPairs(3, 4, checkpoint.config.vocabSize, 30);
    const flags = { "ld-alpha": ALPHA, logprob, beta: 0.5, "max-length": 64 };
    const all = options("train", flags);
    const training = await startDpo(gpu, checkpoint, reference, pairs, all, "f32");

    const scoresBy = async (model: typeof checkpoint) => {
      const tensors = await tensorsOf(model);
      return pairs.map(({ chosen, rejected }) => {
        const answers = [chosen, rejected].map(({ ids, promptLength }) =>
          tokenLogprobs(model.config, tensors, ids).slice(promptLength - 1)
        );
        const shorter = Math.min(...answers.map(({ length }) => length));
        assert.ok(answers.some(({ length }) => length > shorter));
        return answers.map((answer) => {
          const sum = answer.reduce((sum, x, i) => sum + (i < shorter ? x : ALPHA * x), 0);
          return logprob === "mean" ? sum / answer.length : sum;
        });
      });
    };
    const [ours, theirs] = [await scoresBy(checkpoint), await scoresBy(reference)];
    const losses = pairLosses(
      all,
      ours.map(([chosen, rejected], i) => {
        const [referenceChosen, referenceRejected] = theirs[i];
        return { chosen, rejected, referenceChosen, referenceRejected };
      }),
      1,
    );
    const expected = losses.reduce((sum, { value }) => sum + value / pairs.length, 0);
    const { metrics } = await takeStep(training, [...pairs.keys()]);
    const { eval_loss } = await training.evaluate(pairs);
    for (const found of [metrics.loss, eval_loss]) {
      assert.ok(Math.abs(found - expected) < 1e-5 + 5e-5 * expected, `${found}, not ${expected}`);
    }
  });
}
