/** What a checkpoint holds of an optimizer, and how one of an earlier version of this program is read. */
import assert from "node:assert/strict";
import { startDpo, type Training } from "../../src/train/training.ts";
import { UserError } from "../../src/errors.ts";
import { readTensorU32 } from "../../src/gpu/tensor.ts";
import type { Checkpoint } from "../../src/train/checkpoint.ts";
import { type OptimizerName, OPTIMIZERS } from "../../src/train/optimizers.ts";
import { checkpointContent, restoreCheckpoint } from "../../src/train/resume.ts";
import { gpu } from "../kernels/harness.ts";
import {
  options,
  randomCheckpoint,
  randomPairs,
  smallConfig,
  takeStep,
} from "../model/small_models.ts";

const checkpoint = randomCheckpoint(smallConfig(), 1);
const pairs = randomPairs(2, 4, checkpoint.config.vocabSize, 40);
const rows = [...pairs.keys()];
const fingerprint = { model: { weights: "w", config: "c" } };

function start(optim: OptimizerName = "adamw_torch"): Promise<Training> {
  const all = options("train", { "weight-decay": 0.1, optim });
  return startDpo(gpu, checkpoint, null, pairs, all, "f32");
}

/** What was saved after two steps, and the course after it. */
async function saved(
  optim?: OptimizerName,
): Promise<{ found: Checkpoint; next: () => Promise<unknown> }> {
  const training = await start(optim);
  for (let step = 0; step < 2; step++) await takeStep(training, rows, 1e-3);
  const { tensors, state } = await checkpointContent(training, fingerprint);
  const data = new Map<string, Float32Array<ArrayBuffer>>();
  for (const { name, data: read } of tensors) {
    data.set(name, Float32Array.from(typeof read === "function" ? await read() : read));
  }
  const found = {
    step: 2,
    state: JSON.parse(JSON.stringify(state)),
    tensorNames: [...data.keys()],
    readFloat32: (name: string) => Promise.resolve(data.get(name)!),
    close: () => {},
  };
  return { found, next: () => nextStep(training) };
}

/** What the third step and the gradients after it are. */
async function nextStep(training: Training) {
  await takeStep(training, rows, 1e-3);
  return await takeStep(training, rows);
}

async function resumed(found: Checkpoint, optim?: OptimizerName): Promise<Training> {
  const training = await start(optim);
  await restoreCheckpoint(training, found, fingerprint);
  return training;
}

Deno.test("a training goes on from what a checkpoint holds, to the bit", async () => {
  for (const optim of Object.keys(OPTIMIZERS) as OptimizerName[]) {
    const { found, next } = await saved(optim);
    assert.deepEqual(await nextStep(await resumed(found, optim)), await next(), optim);
  }
});

Deno.test("a slot of another size is refused before it overwrites its neighbours", async () => {
  const { found } = await saved();
  const { readFloat32 } = found;
  found.readFloat32 = async (name) =>
    name === "norm.m" ? new Float32Array(100) : await readFloat32(name);
  await assert.rejects(resumed(found), /expected "norm\.m" \(48\), found 100 numbers/);
});

// The words in the order of those versions: loss scale, clean steps, updates, skipped, multiplier, norm, two biases.
Deno.test("a checkpoint whose optimizer has no names for its words is one of AdamW", async () => {
  const { found, next } = await saved();
  const words = found.state.optimizerState as Record<string, number>;
  const { loss_scale, clean_steps, step, skipped, multiplier, norm, bias1, bias2 } = words;
  assert.deepEqual([loss_scale, clean_steps, step, skipped], [0x3f800000, 2, 2, 0]);
  found.state.optimizerState = [
    ...[loss_scale, clean_steps, step, skipped, multiplier, norm, bias1, bias2],
  ];
  const training = await resumed(found);
  assert.deepEqual(
    [...await readTensorU32(gpu, training.optimizer.state)],
    [loss_scale, clean_steps, skipped, multiplier, norm],
  );
  assert.deepEqual(await nextStep(training), await next());
});

Deno.test("a checkpoint without a word of the optimizer is refused", async () => {
  const { found } = await saved();
  for (const broken of [undefined, [1, 2], { loss_scale: 1 }, { loss_scale: "1" }]) {
    found.state.optimizerState = broken;
    await assert.rejects(resumed(found), (error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, /^Cannot resume: expected the optimizer's "\w+" .*, found /);
      return true;
    });
  }
});
