/** What goes wrong in the middle of a run is said in one line. */
import assert from "node:assert/strict";
import { startDpo } from "../../src/engine.ts";
import { UserError } from "../../src/errors.ts";
import { openGpu } from "../../src/gpu/device.ts";
import { loadEngine } from "../../src/platform/engine.ts";
import { gpu } from "../kernels/harness.ts";
import {
  options,
  randomCheckpoint,
  randomPairs,
  smallConfig,
  trainAll,
} from "../model/small_models.ts";

const checkpoint = randomCheckpoint(smallConfig(), 1);
const pairs = randomPairs(2, 6, checkpoint.config.vocabSize);

Deno.test("a lost device ends the run with what to do", async () => {
  const { engine } = gpu.info;
  const own = await openGpu(await loadEngine(engine), { engine });
  const all = options("train", { "max-length": 64, "batch-size": 1, "num-train-epochs": 50 });
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

Deno.test("a device that the program closes is not lost", async () => {
  const { engine } = gpu.info;
  const own = await openGpu(await loadEngine(engine), { engine });
  own.close();
  await own.device.lost;
  own.check();
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
