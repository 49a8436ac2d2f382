/** A bound of memory: what steps are made of under it, and that they keep it. */
import assert from "node:assert/strict";
import { treeTokens } from "../../src/dpo/pack.ts";
import { UserError } from "../../src/errors.ts";
import { Readback } from "../../src/gpu/readback.ts";
import { fitMemory, type MemoryOptions } from "../../src/train/fit_memory.ts";
import { reserveStep } from "../../src/train/memory_plan.ts";
import { largestMicroBatch, planData } from "../../src/train/order.ts";
import { trainingStep } from "../../src/train/step.ts";
import { type DpoTraining, startDpo } from "../../src/train/training.ts";
import type { BatchLimits } from "../../src/data/divide.ts";
import { gpu } from "../kernels/harness.ts";
import { prefer } from "../../src/kernels/tuning.ts";
import { options, randomCheckpoint, randomPairs, smallConfig } from "../model/small_models.ts";

const pairs = randomPairs(31, 96, 113, 60);
const tokens = pairs.map(treeTokens);
const rows = pairs.map((_, row) => row);
// What batches are divided to before layers are computed again, on every device.
prefer(gpu, "scoredTokens", 512);
const checkpoint = randomCheckpoint(smallConfig({ num_hidden_layers: 6 }), 1);

function largest(limits: BatchLimits) {
  const plan = planData(pairs.length, pairs.length, 1, -1);
  const found = largestMicroBatch(tokens, plan, { limits, shuffle: false, seed: 0 });
  return { rows: found.map((row) => pairs[row]), tokens: found.map((row) => tokens[row]) };
}

async function begin(flags: object = {}): Promise<DpoTraining> {
  const all = options("train", { "batch-size": pairs.length, "lora-r": 4, ...flags });
  return await startDpo(gpu, checkpoint, null, pairs, all, "f32");
}

const fit = (training: DpoTraining, memory: Partial<MemoryOptions>) => {
  const all = { maxMemory: null, gradientCheckpointing: null, ...memory };
  return fitMemory(training, largest, all, () => Promise.resolve());
};

const mib = (bytes: number) => Math.ceil(bytes / 2 ** 20);

/** Takes a whole step; @returns the micro-batches' tokens. */
async function takeStep({ model, optimizer, steps }: DpoTraining): Promise<number[]> {
  const readback = new Readback(gpu);
  const { microBatches } = steps(Uint32Array.from(rows), readback);
  trainingStep(model, optimizer, microBatches, 1e-4, readback);
  await readback.fetch();
  return microBatches.map(({ packed }) => packed.tokens.length);
}

Deno.test("without a bound, and within one, steps are as the options say", async () => {
  const training = await begin();
  const free = await fit(training, {});
  assert.deepEqual(await fit(training, { maxMemory: mib(free.total) }), free);
  assert.equal(free.batchTokens, null);
  assert.equal(free.recomputes, false);
});

Deno.test("batches are divided first, to the most tokens that fit, and a step keeps the bound", async () => {
  const training = await begin();
  const free = await fit(training, {});
  const maxMemory = mib(free.allocated + free.step / 2);
  const plan = await fit(training, { maxMemory });
  assert.equal(plan.recomputes, false);
  assert.ok(plan.total <= maxMemory * 2 ** 20, `${plan.total}`);
  const next = { ...training.limits, tokens: training.limits.tokens + 128 };
  const [now, more] = [training.limits, next].map((limits) =>
    largest(limits).tokens.reduce((sum, count) => sum + count)
  );
  const perToken = plan.step / now;
  assert.ok(plan.total + perToken * 1.5 * (more - now) > maxMemory * 2 ** 20, "more would fit");

  reserveStep(training, largest(training.limits).rows);
  gpu.memory.peakBytes = 0;
  const batches = await takeStep(training);
  assert.ok(batches.length > 1 && batches.every((count) => count <= plan.batchTokens!));
  assert.equal(Math.max(...batches), now);
  assert.ok(gpu.memory.peakBytes <= maxMemory * 2 ** 20, `${gpu.memory.peakBytes}`);
  for (const workspace of training.workspaces) workspace.release();
});

Deno.test("where batches would be small, layers are computed again, unless they may not", async () => {
  const training = await begin();
  const few = await fit(training, { maxMemory: 10 ** 6 });
  training.limits.tokens = 512;
  const small = await fit(training, {});
  training.limits.tokens = Infinity;
  const maxMemory = mib(small.total) - 1;
  assert.ok(maxMemory < mib(few.total));
  const plan = await fit(training, { maxMemory });
  assert.equal(plan.recomputes, true);
  assert.ok(plan.total <= maxMemory * 2 ** 20);
  const strict = await begin();
  const kept = await fit(strict, { maxMemory, gradientCheckpointing: false });
  assert.equal(kept.recomputes, false);
  assert.ok(kept.batchTokens! < 512, `${kept.batchTokens}`);
});

Deno.test("batches of a loss across pairs stay whole", async () => {
  const training = await begin({ "loss-type": "aot" });
  const free = await fit(training, {});
  const plan = await fit(training, { maxMemory: mib(free.total) - 1 });
  assert.deepEqual([plan.recomputes, plan.batchTokens], [true, null]);
});

Deno.test("a bound asked for with batches by tokens makes no batch larger", async () => {
  const training = await begin({ "max-tokens-per-batch": 100 });
  const free = await fit(training, {});
  const plan = await fit(training, { maxMemory: mib(free.total) - 1 });
  assert.deepEqual([plan.recomputes, plan.batchTokens], [true, 100]);
});

Deno.test("a bound that nothing can keep is refused with one that can", async () => {
  const training = await begin();
  const expected = /^Expected --max-memory of at least (\d+) MiB, found 1: this run takes/;
  let least = 0;
  await assert.rejects(fit(training, { maxMemory: 1 }), (error) => {
    assert.ok(error instanceof UserError);
    least = Number(expected.exec(error.message)?.[1]);
    return true;
  });
  training.limits.tokens = Infinity;
  training.model.runtime.recomputes = false;
  const plan = await fit(training, { maxMemory: least });
  assert.ok(plan.recomputes);
});
