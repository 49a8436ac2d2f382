/** What changes the work must not change the result: packing, shared prefixes, accumulation, chunks, caches, repetition. */
import assert from "node:assert/strict";
import type { PreferencePair } from "../../src/data/pairs.ts";
import { scorePairs } from "../../src/dpo/evaluate.ts";
import { dpoSteps } from "../../src/train/dpo.ts";
import { type DpoTraining, startDpo, startSft } from "../../src/train/training.ts";
import { loadModel } from "../../src/model/load.ts";
import { Gpu } from "../../src/gpu/device.ts";
import { Readback } from "../../src/gpu/readback.ts";
import { gpu, operandTypes } from "../kernels/harness.ts";
import {
  awkwardPairs,
  gradientDifference,
  options,
  randomCheckpoint,
  randomPairs,
  smallConfig,
  takeStep,
  tensorOf,
  textRow,
  trainAll,
} from "../model/small_models.ts";

/** Sums of the same f32 numbers in another order: relative difference of gradients. */
const ROUNDING = 2e-5;

const checkpoint = randomCheckpoint(smallConfig(), 1);
const reference = randomCheckpoint(smallConfig(), 2);
const { vocabSize } = checkpoint.config;

type Flags = Record<string, unknown>;

/** DPO against another model, so that pairs differ in how much they weigh; no clipping and no decay. */
function start(
  pairs: readonly PreferencePair[],
  flags: Record<string, unknown> = {},
): Promise<DpoTraining> {
  const all = { "max-length": 128, "max-grad-norm": 0, ...flags };
  return startDpo(gpu, checkpoint, reference, pairs, options("train", all), "f32");
}

Deno.test("a batch of pairs scores each pair as alone, bit for bit", async () => {
  const pairs = [...randomPairs(3, 7, vocabSize, 60), ...awkwardPairs()];
  const model = await loadModel(gpu, checkpoint, { precision: "f32", positions: 64 });
  const together = await Array.fromAsync(scorePairs(model, pairs));
  const alone = [];
  for (const pair of pairs) alone.push(...await Array.fromAsync(scorePairs(model, [pair])));
  assert.equal(together.length, pairs.length);
  assert.deepEqual(together, alone);
});

Deno.test("the gradient of a batch is the mean of its pairs' gradients", async () => {
  const pairs = randomPairs(4, 5, vocabSize, 40);
  const training = await start(pairs);
  const { gradients, metrics } = await takeStep(training, [0, 1, 2, 3, 4]);
  const mean = new Map(
    [...gradients].map(([name, { length }]) => [name, new Float64Array(length)]),
  );
  let loss = 0;
  for (const row of pairs.keys()) {
    const alone = await takeStep(training, [row]);
    loss += alone.metrics.loss / pairs.length;
    for (const [name, sum] of mean) {
      for (const [i, value] of alone.gradients.get(name)!.entries()) sum[i] += value / pairs.length;
    }
  }
  assert.ok(Math.abs(metrics.loss - loss) < 1e-6, `loss ${metrics.loss}, alone ${loss}`);
  const difference = gradientDifference(gradients, mean);
  assert.ok(difference < ROUNDING, `${difference} of the gradient's norm`);
});

Deno.test("a shared prefix gives what two whole sequences give", async () => {
  const pairs = [...randomPairs(5, 4, vocabSize, 80), ...awkwardPairs()];
  const rows = [...pairs.keys()];
  const training = await start(pairs);
  const score = { scope: "completion", reduction: "sum" } as const;
  const whole = { ...score, limits: { rows: 8, tokens: Infinity }, sharePrefix: false };
  const shared = await takeStep(training, rows);
  training.run.reference!.knows = () => false; // score the reference's whole sequences too
  const steps = dpoSteps(training.run, pairs, whole);
  const separate = await takeStep({ ...training, steps }, rows);
  for (const [name, value] of Object.entries(shared.metrics)) {
    const error = Math.abs(value - separate.metrics[name]);
    assert.ok(error < 1e-5 + 1e-5 * Math.abs(value), `${name}: ${error} off`);
  }
  const difference = gradientDifference(shared.gradients, separate.gradients);
  assert.ok(difference < ROUNDING, `${difference} of the gradient's norm`);
});

Deno.test("DPO: eight batches of one pair make the step of one batch of eight", async () => {
  const pairs = randomPairs(6, 8, vocabSize, 40);
  const rows = [...pairs.keys()];
  const loss = { "loss-type": "sigmoid,sft", "loss-weights": "1,0.5" };
  const once = await takeStep(await start(pairs, { ...loss, "batch-size": 8 }), rows);
  const split = { ...loss, "batch-size": 1, "gradient-accumulation-steps": 8 };
  const accumulated = await takeStep(await start(pairs, split), rows);
  assert.deepEqual(accumulated.metrics, once.metrics);
  const difference = gradientDifference(accumulated.gradients, once.gradients);
  assert.ok(difference < ROUNDING, `${difference} of the gradient's norm`);
});

Deno.test("pairs with margins and weights of their own, weighed by confidence: accumulated and packed alike", async () => {
  const pairs = randomPairs(9, 8, vocabSize, 40).map((pair, i) => ({
    ...pair,
    ...i % 2 === 0 ? { margin: 0.25 * i - 0.5 } : {},
    ...i % 3 === 0 ? { weight: 0.5 * i } : {},
  }));
  const rows = [...pairs.keys()];
  for (const loss of [{}, { "use-weighting": true }]) {
    const once = await takeStep(await start(pairs, { ...loss, "batch-size": 8 }), rows);
    const split = { ...loss, "batch-size": 1, "gradient-accumulation-steps": 8 };
    const training = await start(pairs, split);
    const accumulated = await takeStep(training, rows);
    assert.deepEqual(accumulated.metrics, once.metrics);
    const difference = gradientDifference(accumulated.gradients, once.gradients);
    assert.ok(difference < ROUNDING, `${difference} of the gradient's norm`);
    // What is kept of the reference does not depend on whose confidence counts.
    const kept = pairs.map((pair) => training.run.reference!.of(pair));
    assert.ok(kept.every((scores) => scores[3] === 0 && scores[7] === 0));
    // An evaluation computes the same loss in double precision, from other calls.
    const { eval_loss } = await (await start(pairs, split)).evaluate(pairs);
    assert.ok(Math.abs(eval_loss / once.metrics.loss - 1) < 1e-5, `${eval_loss}`);
    // So it does where the model is its own reference, whose scores know no confidence.
    const own = await startDpo(
      gpu,
      checkpoint,
      null,
      pairs,
      options("train", { "max-length": 128, ...loss }),
      "f32",
    );
    const before = await own.evaluate(pairs, true);
    const { metrics } = await takeStep(own, rows);
    assert.ok(Math.abs(before.eval_loss / metrics.loss - 1) < 1e-5, `${before.eval_loss}`);
    // Neither do pairs get the plain loss, nor does every weight give the same one.
    const plain = await takeStep(
      await start(pairs.map(({ margin: _1, weight: _2, ...pair }) => pair), loss),
      rows,
    );
    assert.ok(Math.abs(plain.metrics.loss / once.metrics.loss - 1) > 0.01);
  }
});

Deno.test("batches by tokens make the step of one batch", async () => {
  const pairs = randomPairs(15, 8, vocabSize, 40);
  const rows = [...pairs.keys()];
  const text = pairs.map(textRow);
  const startText = (flags: Flags) =>
    startSft(gpu, checkpoint, text, options("sft", { "max-grad-norm": 0, ...flags }), "f32");
  for (const begin of [(flags: Flags) => start(pairs, flags), startText]) {
    const once = await takeStep(await begin({}), rows);
    const training = await begin({ "max-tokens-per-batch": 60 });
    const { microBatches } = training.steps(Uint32Array.from(rows), new Readback(gpu));
    const tokens = microBatches.map(({ packed }) => packed.tokens.length);
    assert.ok(tokens.length > 2 && tokens.every((count) => count <= 60), `${tokens}`);
    const divided = await takeStep(training, rows);
    for (const [name, value] of Object.entries(once.metrics)) {
      assert.ok(Math.abs(divided.metrics[name] - value) < 1e-6, `${name}: ${value}`);
    }
    const difference = gradientDifference(divided.gradients, once.gradients);
    assert.ok(difference < ROUNDING, `${difference} of the gradient's norm`);
  }
});

Deno.test("next-token: eight batches of one row make the step of one batch of eight", async () => {
  const sequences = randomPairs(7, 8, vocabSize, 40).map(textRow);
  const step = async (flags: Record<string, unknown>) => {
    const all = options("sft", { "max-length": 64, ...flags });
    return takeStep(await startSft(gpu, checkpoint, sequences, all, "f32"), [
      ...sequences.keys(),
    ]);
  };
  const once = await step({ "batch-size": 8 });
  const accumulated = await step({ "batch-size": 1, "gradient-accumulation-steps": 8 });
  assert.ok(Math.abs(accumulated.metrics.loss - once.metrics.loss) < 1e-6);
  const difference = gradientDifference(accumulated.gradients, once.gradients);
  assert.ok(difference < ROUNDING, `${difference} of the gradient's norm`);
});

Deno.test("a pair of more rows than a chunk of the head gives what one chunk gives", async () => {
  const pairs = randomPairs(8, 3, vocabSize, 120);
  const longest = pairs.findIndex(({ chosen, rejected }) =>
    chosen.ids.length - chosen.promptLength + rejected.ids.length > 70
  );
  assert.notEqual(longest, -1, "a pair of more than 64 rows");
  const rows = [...pairs.keys()];
  const training = await start(pairs, { score: "all" });
  const whole = await takeStep(training, rows);
  training.model.runtime.headRows = 64;
  training.run.reference!.knows = () => false;
  const chunked = await takeStep(training, rows);
  assert.deepEqual(chunked.metrics, whole.metrics);
  const difference = gradientDifference(chunked.gradients, whole.gradients);
  assert.ok(difference < ROUNDING, `${difference} of the gradient's norm`);
});

Deno.test("a loss across pairs sees all of a batch, however few rows of the head fit together", async () => {
  const pairs = randomPairs(12, 9, vocabSize, 60);
  const rows = [...pairs.keys()];
  const training = await start(pairs, { "loss-type": "aot_unpaired", score: "all" });
  const whole = await takeStep(training, rows);
  training.model.runtime.headRows = 64;
  const chunked = await takeStep(training, rows);
  assert.deepEqual(chunked.metrics, whole.metrics);
  const difference = gradientDifference(chunked.gradients, whole.gradients);
  assert.ok(difference < ROUNDING, `${difference} of the gradient's norm`);
});

Deno.test("a run repeated has the same bits", async () => {
  const pairs = randomPairs(9, 7, vocabSize, 30);
  const flags = { "batch-size": 2, "max-steps": 5, "learning-rate": 1e-3, "max-length": 64 };
  const runs = [];
  for (let i = 0; i < 2; i++) {
    const all = options("train", flags);
    const training = await startDpo(gpu, checkpoint, null, pairs, all, "f32");
    runs.push(await trainAll(training, pairs.length, all));
  }
  assert.equal(runs[0].metrics.length, 5);
  assert.deepEqual(runs[1], runs[0]);
  const before = await tensorOf(checkpoint, "model.norm.weight");
  assert.notDeepEqual(runs[0].weights.get("model.norm.weight"), before, "the run trained nothing");
});

Deno.test("what trains in many arenas has the bits of one", async () => {
  const pairs = randomPairs(9, 4, vocabSize, 30);
  for (const precision of operandTypes) {
    const all = options("train", {
      ...{ "batch-size": 2, "max-steps": 3, "learning-rate": 1e-3, "max-length": 64 },
      "weight-decay": 0.1,
    });
    const runs = [];
    for (const device of [gpu, lowBinding(2 ** 15)]) {
      const training = await startDpo(device, checkpoint, null, pairs, all, precision);
      const { trained } = training.model.weights;
      assert.ok(device === gpu ? trained.length === 1 : trained.length > 3, `${trained.length}`);
      runs.push(await trainAll(training, pairs.length, all));
    }
    assert.deepEqual(runs[1], runs[0]);
  }
});

/** The device of the tests as if it bound no more than so many bytes. */
function lowBinding(bytes: number): Gpu {
  const { limits } = gpu.device;
  const low = new Proxy(limits, {
    get: (_, name) =>
      name === "maxStorageBufferBindingSize" ? bytes : limits[name as keyof GPUSupportedLimits],
  });
  const device = new Proxy(gpu.device, {
    get(device, name) {
      if (name === "limits") return low;
      const value = Reflect.get(device, name);
      return typeof value === "function" ? value.bind(device) : value;
    },
  });
  return new Gpu(device, gpu.info, gpu.mapsWithinCall);
}

Deno.test("weight decay shrinks matrices, and norms where it is asked to", async () => {
  const pairs = randomPairs(9, 4, vocabSize, 30);
  const [rate, decay] = [1e-2, 0.5];
  const weightsAfter = async (flags: Record<string, unknown>) => {
    const all = { "max-steps": 1, "batch-size": 4, "learning-rate": rate, "warmup-steps": 0 };
    const given = options("train", { ...all, "lr-scheduler-type": "constant", ...flags });
    const training = await startDpo(gpu, checkpoint, null, pairs, given, "f32");
    return (await trainAll(training, pairs.length, given)).weights;
  };
  const plain = await weightsAfter({});
  for (const decayNorms of [false, true]) {
    const found = await weightsAfter({ "weight-decay": decay, "decay-norms": decayNorms });
    for (const [name, weights] of found) {
      const before = await tensorOf(checkpoint, name);
      const share = name.endsWith("norm.weight") && !decayNorms ? 0 : rate * decay;
      for (const [i, weight] of weights.entries()) {
        const error = Math.abs(plain.get(name)![i] - before[i] * share - weight);
        assert.ok(error < 1e-6, `${name}[${i}], norms ${decayNorms}: ${error} off`);
      }
    }
  }
});

Deno.test("cached trunk and cached reference change no bit", async () => {
  const pairs = randomPairs(10, 5, vocabSize, 30);
  const flags = {
    "batch-size": 2,
    "num-train-epochs": 3,
    "learning-rate": 1e-3,
    "train-layers": 1,
    "head": "untied",
    "max-length": 64,
  };
  const run = async (cacheTrunk: boolean, cacheReference: boolean) => {
    const all = options("train", { ...flags, "cache-trunk": cacheTrunk });
    const training = await startDpo(gpu, checkpoint, null, pairs, all, "f32");
    const { trunkCache, reference } = training.run;
    assert.equal(trunkCache.enabled, cacheTrunk);
    let hits = 0;
    const load = trunkCache.load.bind(trunkCache);
    trunkCache.load = (...args) => {
      const trunk = load(...args);
      if (trunk) hits++;
      return trunk;
    };
    if (!cacheReference) reference!.knows = () => false;
    const result = await trainAll(training, pairs.length, all);
    assert.equal(hits, cacheTrunk ? 6 : 0, "batches whose trunk was cached");
    return result;
  };
  const plain = await run(false, false);
  assert.equal(plain.metrics.length, 9);
  assert.deepEqual(await run(true, false), plain);
  assert.deepEqual(await run(false, true), plain);
  assert.deepEqual(await run(true, true), plain);
});

Deno.test("a reference that shares the frozen trunk gives what a whole one gives, bit for bit", async () => {
  const pairs = randomPairs(13, 5, vocabSize, 30);
  const flags = { "train-layers": 1, "learning-rate": 1e-3, "max-length": 64, "batch-size": 2 };
  const all = options("train", { ...flags, head: "untied" });
  const run = async (reference: typeof checkpoint | null) => {
    const training = await startDpo(gpu, checkpoint, reference, pairs, all, "f32");
    assert.equal(training.run.reference!.sharesTrunk, reference === null);
    return trainAll(training, pairs.length, all);
  };
  assert.deepEqual(await run(null), await run(checkpoint));
});

Deno.test("a frozen trunk leaves the gradients above it as they are", async () => {
  const pairs = randomPairs(14, 4, vocabSize, 30);
  const rows = [...pairs.keys()];
  const whole = await takeStep(await start(pairs, { head: "untied" }), rows);
  const flags = { "train-layers": 1, head: "untied", "train-final-norm": true };
  const top = await takeStep(await start(pairs, flags), rows);
  assert.deepEqual(
    [...top.gradients.keys()].filter((name) => !name.startsWith("model.layers.1.")),
    ["model.norm.weight", "lm_head.weight"],
  );
  for (const [name, gradient] of top.gradients) {
    assert.deepEqual(gradient, whole.gradients.get(name), name);
  }
});

Deno.test("a reference may be of another, larger shape", async () => {
  const larger = randomCheckpoint(
    smallConfig({ hidden_size: 80, num_hidden_layers: 3, num_attention_heads: 5, head_dim: 24 }),
    11,
  );
  const pairs = randomPairs(12, 3, vocabSize, 40);
  const all = options("train", { "max-length": 64, beta: 0.5 });
  const { metrics } = await takeStep(
    await startDpo(gpu, checkpoint, larger, pairs, all, "f32"),
    [0, 1, 2],
  );
  const sums = await Promise.all([checkpoint, larger].map(async (source) => {
    const model = await loadModel(gpu, source, { precision: "f32", positions: 64 });
    return await Array.fromAsync(scorePairs(model, pairs));
  }));
  for (const side of ["chosen", "rejected"] as const) {
    const rewards = pairs.map((_, i) => 0.5 * (sums[0][i][side].sum - sums[1][i][side].sum));
    const mean = rewards.reduce((a, b) => a + b) / pairs.length;
    assert.ok(Math.abs(metrics[`rewards/${side}`] - mean) < 1e-4, `rewards/${side}: ${mean}`);
  }
});

Deno.test("a policy that still is the reference is evaluated by computing one of them, to the same bits", async () => {
  const pairs = randomPairs(6, 8, vocabSize, 40);
  for (const flags of [{}, { "train-layers": 1, head: "untied" }]) {
    const all = options("train", { "max-length": 64, ...flags });
    const begin = () => startDpo(gpu, checkpoint, null, pairs, all, "f32");
    const expected = await (await begin()).evaluate(pairs);
    const other = await begin();
    assert.deepEqual(await other.evaluate(pairs, true), expected);
    other.model.runtime.workspace.get = () => assert.fail("something is computed again");
    assert.deepEqual(await other.evaluate(pairs.slice(), true), expected);
  }
});
