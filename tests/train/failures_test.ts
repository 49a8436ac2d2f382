/** What goes wrong in the middle of a run is said in one line. */
import assert from "node:assert/strict";
import { startDpo, startSft } from "../../src/train/training.ts";
import { UserError } from "../../src/errors.ts";
import { elementCount, writeTensor } from "../../src/gpu/tensor.ts";
import { openGpu } from "../../src/gpu/device.ts";
import { loadEngine } from "../../src/platform/engine.ts";
import { trainedParameters } from "../../src/model/weights.ts";
import type { StepMetrics } from "../../src/train/step_metrics.ts";
import { gpu, lackOfF16 } from "../kernels/harness.ts";
import {
  options,
  randomCheckpoint,
  randomPairs,
  smallConfig,
  textRow,
  trainAll,
} from "../model/small_models.ts";
import { unless } from "../skip.ts";

const checkpoint = randomCheckpoint(smallConfig(), 1);
const pairs = randomPairs(2, 6, checkpoint.config.vocabSize);

/** What trains, and how a step is divided: faults are the same in all of them. */
const WAYS = {
  "all weights": {},
  "adapters, with accumulation": { "lora-r": 4, "gradient-accumulation-steps": 2 },
};

for (const [way, flags] of Object.entries(WAYS)) {
  Deno.test(`a lost device ends the run with what to do: ${way}`, async () => {
    const { engine } = gpu.info;
    const own = await openGpu(await loadEngine(engine), { engine });
    const batch = { "max-length": 64, "batch-size": 1, "num-train-epochs": 50 };
    const all = options("train", { ...batch, ...flags });
    const training = await startDpo(own, checkpoint, null, pairs, all, "f32");
    const { steps } = training;
    let taken = 0;
    training.steps = (rows, readback) => {
      if (++taken === 4) own.device.destroy();
      return steps(rows, readback);
    };
    await assert.rejects(
      () => trainAll(training, pairs.length, all),
      (error) =>
        error instanceof UserError &&
        /the device was lost \(.+\): restart the command; with --resume/.test(error.message),
    );
    assert.ok(taken < 300, "the run went on");
  });
}

Deno.test("a device that the program closes is not lost", async () => {
  const { engine } = gpu.info;
  const own = await openGpu(await loadEngine(engine), { engine });
  own.close();
  await own.device.lost;
  own.check();
});

/** What the steps of a run at f16 on the loss \`ipo\` tell, whose gradient grows as beta falls. */
async function ipoSteps(beta: number): Promise<StepMetrics[]> {
  const flags = { "max-length": 64, "batch-size": 2, "num-train-epochs": 30, logprob: "sum", beta };
  const all = options("train", { ...flags, "loss-type": "ipo", "learning-rate": 1e-9 });
  const training = await startDpo(gpu, checkpoint, null, pairs.slice(0, 2), all, "f16");
  return (await trainAll(training, 2, all)).metrics;
}

Deno.test({
  ...unless(lackOfF16, "f16: an overflow lowers the loss scale, and training goes on"),
  async fn() {
    const steps = await ipoSteps(0.01);
    const skipped = steps.filter((step) => step.skipped);
    assert.equal(steps.length, 30);
    assert.ok(skipped.length > 0 && skipped.length < 16, `${skipped.length} steps skipped`);
    for (const [i, step] of steps.entries()) {
      assert.equal(step.skipped, i < skipped.length ? 1 : undefined);
      assert.equal(step.loss_scale, 2 ** (16 - Math.min(i + 1, skipped.length)));
      assert.equal("grad_norm" in step, i >= skipped.length);
      assert.equal(step.skipped_steps, Math.min(i + 1, skipped.length));
    }
  },
});

Deno.test({
  ...unless(lackOfF16, "f16: an overflow at the smallest loss scale ends the run, and says so"),
  fn: () =>
    // 16 steps lower the scale from 2^16 to 1, and three more cannot.
    assert.rejects(
      () => ipoSteps(1e-6),
      (error) =>
        error instanceof UserError &&
        /^Step 19: expected a finite loss and gradient, .* is -?(NaN|Infinity) in row \d+, .*f16 overflows in the backward pass even at a loss scale of 1: use --precision f32/
          .test(error.message),
    ),
});

Deno.test("a gradient that is not finite is named by tensor and place", async () => {
  const all = options("train", { "max-length": 64, "learning-rate": 1e30, "max-grad-norm": 0 });
  const training = await startDpo(gpu, checkpoint, null, pairs, all, "f32");
  const many = { ...all, numTrainEpochs: 9 };
  await assert.rejects(
    () => trainAll(training, pairs.length, many),
    (error) =>
      error instanceof UserError &&
      /^Step \d: expected a finite loss and gradient, found .*"embed_tokens" is NaN in row \d+, column \d+: lower --learning-rate/
        .test(error.message),
  );
});

for (
  const [command, way] of [
    ["train", "all weights"],
    ["train", "adapters, with accumulation"],
    ["sft", "all weights"],
  ] as const
) {
  Deno.test(`a log-probability that is not finite is named by row: ${command}, ${way}`, async () => {
    const batch = { "max-length": 64, "batch-size": 1, "num-train-epochs": 9 };
    const flags = { ...batch, ...WAYS[way] };
    const all = options("train", flags);
    const training = command === "train"
      ? await startDpo(gpu, checkpoint, null, pairs, all, "f32")
      : await startSft(gpu, checkpoint, pairs.map(textRow), options("sft", flags), "f32");
    const { steps, model } = training;
    let taken = 0;
    let broken = -1;
    training.steps = (rows, readback) => {
      if (++taken === 3) {
        [broken] = rows;
        // The reference shares all that does not train.
        const [{ operand }] = trainedParameters(model.weights);
        writeTensor(gpu, operand, new Float32Array(elementCount(operand.shape)).fill(NaN));
      }
      return steps(rows, readback);
    };
    await assert.rejects(
      () => trainAll(training, pairs.length, all),
      (error) => {
        assert.ok(error instanceof UserError);
        assert.match(error.message, /^Step 3: expected a finite loss and gradient, found loss NaN/);
        assert.match(error.message, RegExp(`log-probability.* of row ${broken} is NaN; `));
        return true;
      },
    );
  });
}
