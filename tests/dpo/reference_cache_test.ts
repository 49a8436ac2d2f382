import assert from "node:assert/strict";
import { ReferenceCache } from "../../src/dpo/reference_cache.ts";
import { scoreReference } from "../../src/dpo/evaluate.ts";
import { startDpo } from "../../src/train/training.ts";
import { MemoryCache } from "../formats/memory_cache.ts";
import { gpu } from "../kernels/harness.ts";
import {
  options,
  randomCheckpoint,
  randomPairs,
  smallConfig,
  takeStep,
} from "../model/small_models.ts";

const checkpoint = randomCheckpoint(smallConfig(), 1);
const reference = randomCheckpoint(smallConfig(), 2);
const pairs = randomPairs(3, 7, checkpoint.config.vocabSize, 40);
const origin = {
  weights: "w",
  tokens: "t",
  precision: "f32",
  scope: "completion",
  reduction: "sum",
} as const;

const start = () =>
  startDpo(gpu, checkpoint, reference, pairs, options("train", { "max-length": 64 }), "f32");

Deno.test("a run whose reference scores are in the cache never runs the reference", async () => {
  const cache = new MemoryCache();
  const first = await start();
  const load = ({ model, run }: typeof first) =>
    ReferenceCache.load(cache, model, run.reference!, pairs, origin);
  const empty = await load(first);
  assert.equal(empty.found, "none yet");
  const expected = await takeStep(first, [0, 1, 2, 4, 5]);
  await empty.scores.save();

  const second = await start();
  const { found } = await load(second);
  assert.equal(
    found,
    "of 5 of 7 pairs, 4 of them verified",
    "pairs that no step has met are missing",
  );
  second.run.reference!.compute = () => assert.fail("the reference ran");
  const { metrics, gradients } = await takeStep(second, [0, 1, 2, 4, 5]);
  assert.deepEqual(metrics, expected.metrics);
  assert.deepEqual(gradients, expected.gradients);
});

Deno.test("scores of other pairs are ignored, and written anew", async () => {
  const cache = new MemoryCache();
  const { model, run } = await start();
  const load = (rows: typeof pairs) =>
    ReferenceCache.load(cache, model, run.reference!, rows, origin);
  const { scores } = await load(pairs);
  await scoreReference(model, run.reference!, pairs, origin);
  await scores.save();
  assert.equal((await load(pairs.slice(0, 6))).found, "ignored, as they are not of these pairs");
  const entry = (await cache.get(scores.key))!;
  await cache.put(scores.key, [entry.slice(0, -4)]);
  const damaged = await load(pairs);
  assert.equal(damaged.found, "ignored, as they are not of these pairs");
  await damaged.scores.save();
  assert.match((await load(pairs)).found, /^of 7 of 7 pairs/);
});
