/** Adapters: what they compute is what merged weights compute, they alone train, and the reference is the base. */
import assert from "node:assert/strict";
import { scorePairs } from "../../src/dpo/evaluate.ts";
import { type Checkpoint, loadModel } from "../../src/model/load.ts";
import { startDpo, startSft } from "../../src/train/training.ts";
import { GREEDY } from "../../src/kernels/sample.ts";
import { generate } from "../../src/generate/generate.ts";
import type { Operand } from "../../src/kernels/shapes.ts";
import { type Adapter, adapterScale, adapterTensor } from "../../src/model/adapter.ts";
import { checkpointTensors } from "../../src/model/params.ts";
import { trainedParameters } from "../../src/model/weights.ts";
import { forEachVariant, gpu, lackOfF16, operandTypes } from "../kernels/harness.ts";
import { adaptedCheckpoint, addProduct } from "../model/small_adapters.ts";
import { tokenLogprobs } from "../reference/model.ts";
import { unless } from "../skip.ts";
import {
  gradientDifference,
  options,
  randomCheckpoint,
  randomPairs,
  smallConfig,
  takeStep,
  tensorOf,
  tensorsOf,
  textRow,
} from "../model/small_models.ts";

const checkpoint = randomCheckpoint(smallConfig(), 1);
const { config } = checkpoint;
const pairs = randomPairs(2, 4, config.vocabSize, 40);
const ALL = { "lora-r": 5, "lora-alpha": 7, "lora-target-modules": "all-linear" };
const SOME = { "lora-r": 3, "lora-target-modules": "q_proj,v_proj,up_proj" };

const start = (flags: object, from: Checkpoint = checkpoint, precision: Operand = "f32") =>
  startDpo(gpu, from, null, pairs, options("train", { ...flags }), precision);

for (const precision of operandTypes) {
  for (const [name, flags] of Object.entries({ "all linear layers": ALL, "some of them": SOME })) {
    Deno.test(`fresh adapters of ${name} have the bits of the base, ${precision}`, async () => {
      const plain = await loadModel(gpu, checkpoint, { precision, positions: 64 });
      const { model } = await start(flags, checkpoint, precision);
      const [expected, found] = [
        await Array.fromAsync(scorePairs(plain, pairs)),
        await Array.fromAsync(scorePairs(model, pairs)),
      ];
      assert.deepEqual(found, expected);
      const ask = { ...GREEDY, maxNewTokens: 12, stopIds: [] };
      const prompts = [[3, 4, 5], [9]];
      assert.deepEqual(
        (await generate(model, prompts, ask)).map(({ ids }) => [...ids]),
        (await generate(plain, prompts, ask)).map(({ ids }) => [...ids]),
      );
    });
  }
}

Deno.test("adapters compute what merged weights compute, packed and decoding", () =>
  forEachVariant("product", async () => {
    for (const flags of [ALL, SOME]) {
      const adapted = adaptedCheckpoint(checkpoint, flags);
      const merged = await loadModel(gpu, adapted, { precision: "f32", positions: 64 });
      const plain = await loadModel(gpu, checkpoint, { precision: "f32", positions: 64 });
      const { model } = await start(flags, adapted);
      const scores = async (of: typeof model) =>
        (await Array.fromAsync(scorePairs(of, pairs)))
          .flatMap(({ chosen, rejected }) => [chosen.sum, rejected.sum]);
      const [expected, found, base] = [
        await scores(merged),
        await scores(model),
        await scores(plain),
      ];
      for (const [i, score] of expected.entries()) {
        assert.ok(Math.abs(found[i] - score) < 1e-4 * Math.abs(score), `${found[i]}, ${score}`);
      }
      assert.ok(expected.some((score, i) => Math.abs(score - base[i]) > 0.1), "they change much");
      const ask = { ...GREEDY, maxNewTokens: 12, stopIds: [] };
      const [[ours], [theirs]] = [
        await generate(model, [[3, 4, 5]], ask),
        await generate(merged, [[3, 4, 5]], ask),
      ];
      assert.deepEqual([...ours.ids], [...theirs.ids]);
    }
  }));

/** The gradients of adapters by those of the merged weights: dA = s B^T dW and dB = s dW A^T. */
async function adapterGradients(
  adapter: Adapter,
  gradients: ReadonlyMap<string, Float32Array>,
): Promise<Map<string, Float32Array>> {
  const [s, r] = [adapterScale(adapter), adapter.rank];
  const found = new Map<string, Float32Array>();
  for (const matrix of adapter.matrices) {
    const dw = gradients.get(matrix)!;
    const names = { a: adapterTensor(matrix, "A"), b: adapterTensor(matrix, "B") };
    const [a, b] = [await tensorOf(adapter, names.a), await tensorOf(adapter, names.b)];
    const K = a.length / r;
    const [da, db] = [new Float32Array(a.length), new Float32Array(b.length)];
    for (const [i, g] of dw.entries()) {
      const [n, k] = [Math.floor(i / K), i % K];
      for (let j = 0; j < r; j++) {
        da[j * K + k] += s * b[n * r + j] * g;
        db[n * r + j] += s * a[j * K + k] * g;
      }
    }
    found.set(names.a, da).set(names.b, db);
  }
  return found;
}

/** Compares the gradients of adapters with those of the merged weights. */
async function compareGradients(flags: object, precision: Operand, limit: number): Promise<void> {
  const adapted = adaptedCheckpoint(checkpoint, flags);
  const other = randomCheckpoint(config, 3);
  const begin = (flags: object) => {
    const all = options("train", { "max-grad-norm": 0, ...flags });
    return startDpo(gpu, adapted, other, pairs, all, precision);
  };
  const whole = await takeStep(await begin({}), [0, 1, 2, 3]);
  const { gradients } = await takeStep(await begin(flags), [0, 1, 2, 3]);
  const expected = await adapterGradients(adapted.adapted.adapter, whole.gradients);
  assert.deepEqual([...gradients.keys()].toSorted(), [...expected.keys()].toSorted());
  const difference = gradientDifference(gradients, expected);
  assert.ok(difference < limit, `${difference} of the gradient's norm`);
}

Deno.test("gradients of adapters follow from those of the merged weights", () =>
  forEachVariant("product", async () => {
    await compareGradients(ALL, "f32", 1e-4);
    await compareGradients(SOME, "f32", 1e-4);
  }));

Deno.test({
  ...unless(lackOfF16, "gradients of adapters follow from those of the merged weights, f16"),
  fn: () => compareGradients(ALL, "f16", 3e-2),
});

Deno.test("gradients of adapters are slopes of the loss in double precision", async () => {
  const adapted = adaptedCheckpoint(checkpoint, SOME);
  const { adapter } = adapted.adapted;
  const [row] = pairs.map(textRow);
  const flags = { ...SOME, score: "all", "max-grad-norm": 0 };
  const training = await startSft(gpu, adapted, [row], options("sft", flags), "f32");
  const { gradients } = await takeStep(training, [0]);

  const base = await tensorsOf(checkpoint);
  const matrices = new Map<string, Float64Array>();
  for (const name of gradients.keys()) {
    matrices.set(name, Float64Array.from(await tensorOf(adapter, name)));
  }
  const lossNow = () => {
    const tensors = new Map<string, ArrayLike<number>>(base);
    for (const matrix of adapter.matrices) {
      const [a, b] = (["A", "B"] as const).map((which) =>
        matrices.get(adapterTensor(matrix, which))!
      );
      const w = Float64Array.from(base.get(matrix)!);
      addProduct(w, b, a, adapterScale(adapter), adapter.rank);
      tensors.set(matrix, w);
    }
    const logprobs = tokenLogprobs(config, tensors, row.ids);
    return -logprobs.reduce((sum, logprob) => sum + logprob) / logprobs.length;
  };
  const STEP = 1e-4;
  for (const [name, gradient] of gradients) {
    // Where it is steepest, so that the rounding of f32 is small beside it.
    const at = gradient.reduce(
      (best, g, i) => Math.abs(g) > Math.abs(gradient[best]) ? i : best,
      0,
    );
    const matrix = matrices.get(name)!;
    const value = matrix[at];
    const [above, below] = [value + STEP, value - STEP].map((moved) => {
      matrix[at] = moved;
      return lossNow();
    });
    matrix[at] = value;
    const slope = (above - below) / (2 * STEP);
    const error = Math.abs(gradient[at] - slope);
    assert.ok(error < 1e-4 * Math.abs(slope), `${name}[${at}]: ${gradient[at]}, slope ${slope}`);
  }
});

for (const precision of operandTypes) {
  Deno.test(`the first loss is ln 2, only B has a gradient then, and steps lower the loss, ${precision}`, async () => {
    const flags = { ...ALL, "max-grad-norm": 0, "learning-rate": 1e-2 };
    const training = await start(flags, checkpoint, precision);
    const rows = [0, 1, 2, 3];
    const first = await takeStep(training, rows, 1e-2);
    assert.equal(Math.fround(first.metrics.loss), Math.fround(Math.LN2));
    for (const [name, gradient] of first.gradients) {
      assert.equal(gradient.some((g) => g !== 0), name.includes("lora_B"), name);
    }
    await takeStep(training, rows, 1e-2);
    const { metrics, gradients } = await takeStep(training, rows, 1e-2);
    assert.ok(metrics.loss < 0.6, `loss ${metrics.loss}`);
    assert.ok([...gradients.values()].every((gradient) => gradient.some((g) => g !== 0)));
  });
}

Deno.test("a trained adapter begins with its own frozen copy as the reference", async () => {
  const { metrics } = await takeStep(await start(ALL, adaptedCheckpoint(checkpoint, ALL)), [
    0,
    1,
    2,
    3,
  ]);
  assert.equal(Math.fround(metrics.loss), Math.fround(Math.LN2));
  await assert.rejects(
    start({ ...ALL, "lora-r": 4 }, adaptedCheckpoint(checkpoint, ALL)),
    /^UserError: Expected the adapters that --model has already, r 5, alpha 7, .*found options for r 4/,
  );
});

Deno.test("only adapters have masters, gradients and moments, and the reference takes no memory", async () => {
  const bytesOf = async (start: () => Promise<unknown>) => {
    const before = gpu.memory.bytes;
    await start();
    return gpu.memory.bytes - before;
  };
  const shortest = { "max-length": 8 }; // of the table of rotations
  const flags = { ...SOME, ...shortest, "layers-to-transform": "1" };
  const training = await start(flags);
  const trainedNames = trainedParameters(training.model.weights).map(({ spec }) => spec.name);
  assert.deepEqual(trainedNames, [
    "layers.1.qkv_proj.lora_A",
    "layers.1.qkv_proj.lora_B",
    "layers.1.gate_up_proj.lora_A",
    "layers.1.gate_up_proj.lora_B",
  ]);
  assert.equal(training.model.begin, 1, "the layer below is the trunk");
  const policy = training.model.weights.parameters;
  for (const [name, { operand }] of training.run.reference!.model.weights.parameters) {
    assert.equal(operand, policy.get(name)!.operand, name);
  }
  const all = checkpointTensors(config).reduce(
    (sum, { shape }) => sum + shape.reduce((a, b) => a * b, 4),
    0,
  );
  const [full, adapters] = [
    await bytesOf(() => start(shortest)),
    await bytesOf(() => start(flags)),
  ];
  assert.ok(full > 4.9 * all, `${full} bytes in full, of ${all} of weights`);
  assert.ok(adapters < 1.2 * all, `${adapters} bytes with adapters, of ${all} of weights`);
});

Deno.test("text trains adapters too", async () => {
  const rows = pairs.map(textRow);
  const training = await startSft(gpu, checkpoint, rows, options("sft", ALL), "f32");
  const losses = [];
  for (let step = 0; step < 4; step++) {
    losses.push((await takeStep(training, [0, 1, 2, 3], 1e-2)).metrics.loss);
  }
  assert.ok(losses[3] < losses[0], `${losses}`);
});

Deno.test("adapters that do not fit the model are refused", async () => {
  const refused: [object, RegExp][] = [
    [{ "lora-r": 17 }, /^UserError: Expected --lora-r of at most 16, the smaller side of v_proj/],
    [
      { "lora-r": 2, "layers-to-transform": "0,2" },
      /^UserError: Expected --layers-to-transform from 0 to 1, the model's layers, found 2/,
    ],
  ];
  for (const [flags, message] of refused) await assert.rejects(start(flags), message);
});
