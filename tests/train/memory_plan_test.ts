import assert from "node:assert/strict";
import { treeTokens } from "../../src/dpo/pack.ts";
import { startDpo } from "../../src/engine.ts";
import { UserError } from "../../src/errors.ts";
import { Readback } from "../../src/gpu/readback.ts";
import { largestBatch, planInWords, planMemory } from "../../src/train/memory_plan.ts";
import { trainingStep } from "../../src/train/step.ts";
import { gpu } from "../kernels/harness.ts";
import { options, randomCheckpoint, randomPairs, smallConfig } from "../model/small_models.ts";

async function smallTraining(flags: Record<string, unknown>) {
  const pairs = randomPairs(1, 64, 113, 60);
  const batch = { "per-device-train-batch-size": 64 };
  const all = options("train", { model: "m", dataset: "d", ...batch, ...flags });
  const checkpoint = randomCheckpoint(smallConfig({ num_hidden_layers: 4 }), 1);
  return { pairs, training: await startDpo(gpu, checkpoint, null, pairs, all, "f32") };
}

for (const flags of [{}, { "train-layers": 1, head: "untied" }]) {
  Deno.test(`the memory plan is near what a step takes: ${JSON.stringify(flags)}`, async () => {
    const before = gpu.memory.bytes;
    const { pairs, training } = await smallTraining(flags);
    const plan = planMemory(training.model, largestBatch(pairs.map(treeTokens), 64), []);
    const made = training.steps(Uint32Array.from(pairs.keys()), new Readback(gpu));
    trainingStep(training.model, training.optimizer, made.microBatches, 1e-4, new Readback(gpu));
    await gpu.idle();
    const taken = gpu.memory.bytes - before;
    const planned = plan.total - before;
    assert.ok(
      taken > 0.7 * planned && taken < 1.3 * planned,
      `planned ${planned} bytes, taken ${taken}: ${planInWords(plan)}`,
    );
  });
}

Deno.test("a batch that no buffer can hold is refused with one that fits", async () => {
  const { training } = await smallTraining({});
  const units = [4e6, 3e6, 2e6];
  const limit = Math.min(
    gpu.device.limits.maxBufferSize,
    gpu.device.limits.maxStorageBufferBindingSize,
  );
  const rows = Math.floor(limit / (4 * 88)); // gate and up are the widest rows, 2 F = 88
  assert.throws(
    () => planMemory(training.model, rows + 1, [rows - 10, 11]),
    (error) =>
      error instanceof UserError && error.message.includes("--per-device-train-batch-size 1 fits"),
  );
  assert.throws(() => planMemory(training.model, 2 * rows, [2 * rows]), /not even one row fits/);
  assert.equal(largestBatch(units, 2), 7e6);
});
