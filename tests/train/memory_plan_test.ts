import assert from "node:assert/strict";
import { startDpo } from "../../src/train/training.ts";
import { UserError } from "../../src/errors.ts";
import { Readback } from "../../src/gpu/readback.ts";
import { mostTensorBytes, readTensor } from "../../src/gpu/tensor.ts";
import {
  checkBatch,
  planMemory,
  releaseScratch,
  reserveStep,
} from "../../src/train/memory_plan.ts";
import { trainingStep } from "../../src/train/step.ts";
import { gpu } from "../kernels/harness.ts";
import { options, randomCheckpoint, randomPairs, smallConfig } from "../model/small_models.ts";

const pairs = randomPairs(1, 64, 113, 60);

async function smallTraining(flags: Record<string, unknown>, fields = {}) {
  const all = options("train", { model: "m", dataset: "d", ...flags });
  const checkpoint = randomCheckpoint(smallConfig({ num_hidden_layers: 4, ...fields }), 1);
  const reference = flags["batch-size"] === 8 ? checkpoint : null;
  return await startDpo(gpu, checkpoint, reference, pairs, all, "f32");
}

type Training = Awaited<ReturnType<typeof smallTraining>>;

function takeStep({ model, optimizer, steps, sync }: Training, rows: Uint32Array): void {
  const readback = new Readback(gpu);
  const { microBatches } = steps(rows, readback);
  trainingStep(model, optimizer, microBatches, 1e-4, readback);
  sync?.afterStep(1);
}

const QWEN3 = { model_type: "qwen3", attention_bias: true, head_dim: 16 };

for (
  const [flags, fields] of [
    [{ "batch-size": 64 }, {}],
    [{ "batch-size": 8 }, {}],
    [{ "batch-size": 64, "train-layers": 1, head: "untied" }, {}],
    [{ "batch-size": 64, "train-layers": 3 }, QWEN3],
    [{ "batch-size": 64, "sync-ref-model": true, "ref-model-sync-steps": 1 }, {}],
    [{ "batch-size": 8, optim: "muon" }, QWEN3],
  ] as const
) {
  const what = JSON.stringify({ ...flags, ...fields });
  Deno.test(`what a step takes is known before, to the byte: ${what}`, async () => {
    const training = await smallTraining(flags, fields);
    const rows = Uint32Array.from({ length: flags["batch-size"] }, (_, i) => i);
    const batch = pairs.slice(0, rows.length);
    const before = gpu.memory.bytes;
    const plan = await planMemory(training, batch);
    assert.equal(gpu.memory.bytes, before, "planning takes nothing");
    takeStep(training, rows);
    await gpu.idle();
    assert.equal(gpu.memory.bytes, plan.total);
    assert.equal(plan.allocated, before);
    releaseScratch(training);
    assert.ok(gpu.memory.bytes - before < plan.step / 2, "copies of weights may stay");
    reserveStep(training, batch);
    takeStep(training, rows.subarray(1));
    takeStep(training, rows);
    assert.equal(gpu.memory.bytes, plan.total, "nothing grew");
    assert.ok((await readTensor(gpu, training.optimizer.state)).every(Number.isFinite));
    releaseScratch(training);
  });
}

Deno.test("what an evaluation takes is known before", async () => {
  const training = await smallTraining({ "batch-size": 8 });
  const heldOut = pairs.slice(0, 40);
  const before = gpu.memory.bytes;
  const evaluate = (counted: Training) => counted.evaluate(heldOut);
  const plan = await planMemory(training, pairs.slice(0, 1), evaluate);
  assert.ok(!training.run.reference!.knows(heldOut), "planning scores nothing");
  gpu.memory.peakBytes = before;
  await training.evaluate(heldOut);
  releaseScratch(training);
  takeStep(training, Uint32Array.of(0));
  releaseScratch(training);
  await training.evaluate(heldOut);
  assert.equal(gpu.memory.peakBytes, plan.total);
  const scores = heldOut.map((pair) => training.run.reference!.of(pair).slice());
  await planMemory(training, pairs.slice(0, 1), evaluate);
  assert.deepEqual(heldOut.map((pair) => training.run.reference!.of(pair)), scores);
});

Deno.test("a batch that no buffer can hold is refused with one that fits", async () => {
  const { model } = await smallTraining({});
  const rows = Math.floor(mostTensorBytes(gpu) / (4 * 88)); // gate and up are the widest rows, 2 F = 88
  checkBatch(model, [rows - 10, 10]);
  assert.throws(
    () => checkBatch(model, [11, rows - 10]),
    (error) =>
      error instanceof UserError && error.message.includes("--per-device-train-batch-size 1 fits"),
  );
  assert.throws(() => checkBatch(model, [2 * rows]), /not even one row fits/);
});
