/** What is computed again in the backward pass, whole layers or less: every bit of a training stays, and its memory shrinks. */
import assert from "node:assert/strict";
import { treeTokens } from "../../src/dpo/pack.ts";
import { startDpo, startSft } from "../../src/train/training.ts";
import { planMemory } from "../../src/train/memory_plan.ts";
import type { Operand } from "../../src/kernels/shapes.ts";
import { forEachVariant, gpu, lackOfF16, operandTypes } from "../kernels/harness.ts";
import {
  options,
  randomCheckpoint,
  randomPairs,
  smallConfig,
  textRow,
  trainAll,
} from "../model/small_models.ts";
import { unless } from "../skip.ts";

const pairs = randomPairs(21, 6, 113, 40);
const STEPS = { "learning-rate": 1e-3, "max-steps": 3, "batch-size": 2, "max-length": 64 };
const AGAIN = { "gradient-checkpointing": true };
const LORA = { "lora-r": 3, "lora-target-modules": "all-linear" };
const QWEN3 = { model_type: "qwen3", attention_bias: true, head_dim: 16 };

const checkpointOf = (fields: object) =>
  randomCheckpoint(smallConfig({ num_hidden_layers: 4, ...fields }), 1);

async function train(flags: object, fields: object, precision: Operand = "f32") {
  const all = options("train", { ...STEPS, ...flags });
  const training = await startDpo(gpu, checkpointOf(fields), null, pairs, all, precision);
  return await trainAll(training, pairs.length, all);
}

type Run = Awaited<ReturnType<typeof trainAll>>;

function compare(found: Run, expected: Run): void {
  assert.deepEqual(found.metrics, expected.metrics);
  assert.deepEqual([...found.weights.keys()], [...expected.weights.keys()]);
  for (const [name, weights] of expected.weights) {
    const other = found.weights.get(name)!;
    assert.equal(weights.findIndex((weight, i) => !Object.is(weight, other[i])), -1, name);
  }
}

async function sameBits(flags: object, fields: object = {}, precision?: Operand): Promise<void> {
  const kept = await train(flags, fields, precision);
  assert.equal(new Set(kept.metrics.map(({ loss }) => loss)).size, 3, "steps change the model");
  compare(await train({ ...flags, ...AGAIN }, fields, precision), kept);
}

const CASES: Record<string, [flags: object, fields?: object]> = {
  "all weights": [{}],
  "norms of heads and biases": [{}, QWEN3],
  "adapters": [LORA],
  "adapters, accumulated": [{ ...LORA, "gradient-accumulation-steps": 3 }],
  "adapters above a frozen trunk": [{ ...LORA, "layers-to-transform": "2,3" }],
  "two layers above a frozen trunk": [{ "train-layers": 2, head: "untied" }],
  "one layer, which there is nothing to save of": [{ "train-layers": 1, head: "untied" }],
  "all weights, accumulated": [{ "gradient-accumulation-steps": 2 }],
  "a loss across pairs": [{ "loss-type": "aot", "batch-size": 3, "max-steps": 3 }],
};

for (const [name, [flags, fields]] of Object.entries(CASES)) {
  Deno.test(`layers computed again change no bit: ${name}`, () => sameBits(flags, fields));
}

Deno.test("layers computed again change no bit: all kernels that devices choose among", () =>
  forEachVariant("product", async () => {
    await sameBits({ ...LORA, "max-steps": 3 });
    await sameBits({});
  }));

for (const [name, flags] of Object.entries({ "all weights": {}, adapters: LORA })) {
  Deno.test({
    ...unless(lackOfF16, `layers computed again change no bit: ${name}, f16`),
    fn: () => sameBits(flags, {}, "f16"),
  });
}

for (const [name, [flags, fields]] of Object.entries(CASES).slice(0, 3)) {
  for (const precision of operandTypes) {
    Deno.test(`inputs of products change no bit, kept or computed again: ${name}, ${precision}`, async () => {
      const runs: Run[] = [];
      await forEachVariant("productInputs", async () => {
        runs.push(await train(flags, fields ?? {}, precision));
      });
      assert.equal(runs.length, 2);
      compare(runs[0], runs[1]);
    });
  }
}

Deno.test("layers computed again change no bit: text", async () => {
  const sequences = pairs.map(textRow);
  const trainText = async (flags: object) => {
    const all = options("sft", { ...STEPS, ...LORA, ...flags });
    const training = await startSft(gpu, checkpointOf({}), sequences, all, "f32");
    return await trainAll(training, sequences.length, all);
  };
  compare(await trainText(AGAIN), await trainText({}));
});

Deno.test("of each layer a step keeps no more than its input", async () => {
  const batch = randomPairs(22, 16, 113, 60);
  const stepBytes = async (layers: number, rows: number, flags: object) => {
    const checkpoint = checkpointOf({ num_hidden_layers: layers });
    const all = options("train", { ...LORA, "batch-size": 16, ...flags });
    const training = await startDpo(gpu, checkpoint, null, batch, all, "f32");
    return (await planMemory(training, batch.slice(0, rows))).step;
  };
  // Kernels may have copies of weights, too, so what matters is how bytes grow with tokens.
  const perLayer = async (rows: number, flags: object) =>
    await stepBytes(4, rows, flags) - await stepBytes(3, rows, flags);
  const growth = async (flags: object) => await perLayer(16, flags) - await perLayer(8, flags);
  const tokens = batch.slice(8).reduce((sum, pair) => sum + treeTokens(pair), 0);
  assert.equal(await growth(AGAIN), tokens * 48 * 4);
  assert.ok(await growth({}) > 6 * tokens * 48 * 4);
});
