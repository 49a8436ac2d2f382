/** A reference that follows the policy: what it is after each step, and that nothing of the former one is used again. */
import assert from "node:assert/strict";
import type { PreferencePair } from "../../src/data/pairs.ts";
import { scorePairs } from "../../src/dpo/evaluate.ts";
import { UserError } from "../../src/errors.ts";
import { readTensor, writeTensor } from "../../src/gpu/tensor.ts";
import type { Operand } from "../../src/kernels/shapes.ts";
import type { Checkpoint } from "../../src/model/load.ts";
import { changingParameters, type Weights } from "../../src/model/weights.ts";
import { type DpoTraining, startDpo } from "../../src/train/training.ts";
import { assertClose, gpu, lackOfF16, operandTypes } from "../kernels/harness.ts";
import { adaptedCheckpoint } from "../model/small_adapters.ts";
import {
  options,
  randomCheckpoint,
  randomPairs,
  smallConfig,
  takeStep,
  trainAll,
} from "../model/small_models.ts";
import { unless } from "../skip.ts";

const checkpoint = randomCheckpoint(smallConfig(), 1);
const pairs = randomPairs(2, 4, checkpoint.config.vocabSize, 40);
const ADAPTERS = { "lora-r": 3, "lora-target-modules": "all-linear" };
const SYNC = { "sync-ref-model": true };

/** Three epochs of two steps, so that every pair is met again after the reference has changed. */
const COURSE = { "batch-size": 2, "num-train-epochs": 3, "learning-rate": 1e-3, beta: 0.5 };

interface Start {
  from?: Checkpoint;
  reference?: Checkpoint | null;
  precision?: Operand;
  rows?: PreferencePair[];
}

async function start(
  flags: object,
  { from = checkpoint, reference = null, precision = "f32", rows = pairs }: Start = {},
): Promise<{ training: DpoTraining; run: () => ReturnType<typeof trainAll> }> {
  const all = options("train", { ...COURSE, ...flags });
  const training = await startDpo(gpu, from, reference, rows, all, precision);
  return { training, run: () => trainAll(training, rows.length, all) };
}

/** Weights by name, in f32 where they change. */
async function valuesOf({ parameters }: Weights): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for (const [name, { master, operand }] of parameters) {
    values.set(name, await readTensor(gpu, master ?? operand));
  }
  return values;
}

/** What trains, and what it begins with. */
const MODELS: Record<string, { flags: object; from?: Checkpoint }> = {
  "all weights": { flags: {} },
  "the last layer and a head of its own": { flags: { "train-layers": 1, head: "untied" } },
  "fresh adapters": { flags: ADAPTERS },
  "trained adapters": { flags: ADAPTERS, from: adaptedCheckpoint(checkpoint, ADAPTERS) },
};

for (const precision of operandTypes) {
  for (const [name, { flags, from }] of Object.entries(MODELS)) {
    Deno.test(`with alpha 0 a run has the bits of one without: ${name}, ${precision}`, async () => {
      const plain = await (await start(flags, { from, precision })).run();
      const still = { ...flags, ...SYNC, "ref-model-mixup-alpha": 0, "ref-model-sync-steps": 1 };
      assert.deepEqual(await (await start(still, { from, precision })).run(), plain);
    });

    Deno.test(`with alpha 1 the reference scores as the policy after each step: ${name}, ${precision}`, async () => {
      const hard = { ...flags, ...SYNC, "ref-model-mixup-alpha": 1, "ref-model-sync-steps": 1 };
      const { training, run } = await start(hard, { from, precision });
      const { metrics } = await run();
      for (const step of metrics) {
        assert.equal(step["rewards/chosen"], 0, `step ${step.step}`);
        assert.equal(step["rewards/rejected"], 0, `step ${step.step}`);
        assert.ok(Math.abs(step.loss - Math.LN2) < 1e-6, `step ${step.step}`);
      }
      const { reference } = training.run;
      assert.deepEqual(
        await Array.fromAsync(scorePairs(reference!.model, pairs)),
        await Array.fromAsync(scorePairs(training.model, pairs)),
      );
      const held = await training.evaluate(pairs);
      assert.equal(held["eval_rewards/margins"], 0);
    });
  }
}

/** Takes six steps with a sync after every second one, and mixes by hand in double precision. */
async function compareMixture(
  flags: object,
  { tolerance, ...how }: Start & { tolerance: number },
): Promise<void> {
  const alpha = 0.3;
  const soft = { ...SYNC, "ref-model-mixup-alpha": alpha, "ref-model-sync-steps": 2 };
  const { training } = await start({ ...flags, ...soft }, how);
  const { model, sync } = training;
  const followed = sync!.reference.model.weights;
  const expected = new Map(
    (await valuesOf(followed)).entries().map(([name, values]) => [name, Float64Array.from(values)]),
  );
  const begin = await valuesOf(followed);
  for (let step = 1; step <= 6; step++) {
    await takeStep(training, [...pairs.keys()], 1e-3);
    sync!.afterStep(step);
    const policy = await valuesOf(model.weights);
    for (const { spec: { name } } of changingParameters(followed)) {
      if (step % 2 !== 0) continue;
      const [mixed, own] = [expected.get(name)!, policy.get(name)!];
      for (let i = 0; i < mixed.length; i++) mixed[i] = alpha * own[i] + (1 - alpha) * mixed[i];
    }
    for (const [name, values] of await valuesOf(followed)) {
      assertClose(values, expected.get(name)!, { absolute: tolerance, name: `${name}, ${step}` });
    }
  }
  const moved = changingParameters(followed)
    .filter(({ spec: { name } }) => begin.get(name)!.some((x, i) => x !== expected.get(name)![i]));
  assert.equal(moved.length, changingParameters(followed).length, "all of them changed");
}

for (const [name, { flags, from }] of Object.entries(MODELS)) {
  Deno.test(`every second step mixes policy and reference: ${name}`, () =>
    compareMixture(flags, { from, tolerance: 5e-7 }));
}

// A step changes weights by 1e-3, of which f16 would keep a digit.
Deno.test({
  ...unless(lackOfF16, "at f16 the mixture is as exact as at f32"),
  fn: () => compareMixture({}, { precision: "f16", tolerance: 5e-7 }),
});

const other = randomCheckpoint(smallConfig(), 9);

Deno.test("a reference of its own follows in all weights, those that the policy has frozen too", async () => {
  for (const flags of [{}, { "train-layers": 1, head: "untied" }]) {
    await compareMixture(flags, { reference: other, tolerance: 5e-7 });
  }
});

Deno.test({
  ...unless(lackOfF16, "a reference of its own follows at f16"),
  fn: async () => {
    const frozen = { "train-layers": 1 };
    await compareMixture(frozen, { reference: other, precision: "f16", tolerance: 5e-7 });
  },
});

Deno.test("a reference that follows has the policy's shape", async () => {
  const refused = (fields: object, found: RegExp) =>
    assert.rejects(
      start(SYNC, { reference: randomCheckpoint(smallConfig({ ...fields }), 9) }),
      (error) => error instanceof UserError && found.test(error.message),
    );
  await refused(
    { num_hidden_layers: 3 },
    /found layers\.2\.\S+ \(48\) in the place of norm \(48\)/,
  );
  await refused(
    { intermediate_size: 40 },
    /found \S+gate_up_proj \(80, 48\) in the place of \S+ \(88, 48\)/,
  );
  await refused({ tie_word_embeddings: false }, /found lm_head \(113, 48\) in the place of none/);
});

Deno.test({
  ...unless(lackOfF16, "a step that overflows and is skipped counts, as in TRL"),
  fn: async () => {
    const { training, run } = await start({ ...SYNC, "ref-model-sync-steps": 2 }, {
      precision: "f16",
    });
    writeTensor(gpu, training.optimizer.state, Float32Array.of(2 ** 127)); // the loss scale
    const reference = training.run.reference!;
    const follow = reference.follow.bind(reference);
    const alphas: number[] = [];
    reference.follow = (policy, alpha) => {
      alphas.push(alpha);
      follow(policy, alpha);
    };
    const { metrics } = await run();
    assert.ok(metrics.every(({ skipped }) => skipped));
    assert.deepEqual(alphas, [0.6, 0.6, 0.6], "after steps 2, 4 and 6");
  },
});

Deno.test("losses of single answers and several losses follow too", async () => {
  for (
    const flags of [
      { "loss-type": "kto" },
      { "loss-type": "sigmoid,bco_pair,sft", "loss-weights": "0.8,0.2,1" },
    ]
  ) {
    const rows = flags["loss-type"] === "kto"
      ? pairs.map((pair, i) => ({ ...pair, label: i % 2 === 0 }))
      : pairs;
    const plain = await (await start(flags, { rows })).run();
    const soft = { ...flags, ...SYNC, "ref-model-sync-steps": 3 };
    const { metrics } = await (await start(soft, { rows })).run();
    // Three steps are the same, whatever follows.
    assert.deepEqual(metrics.slice(0, 3), plain.metrics.slice(0, 3), flags["loss-type"]);
    assert.notEqual(metrics[3]["rewards/chosen"], plain.metrics[3]["rewards/chosen"]);
  }
});
