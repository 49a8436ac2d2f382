/** Each optimizer in a training: its update is its formula's, of clipped gradients, and it keeps what its row says. */
import assert from "node:assert/strict";
import { startDpo } from "../../src/train/training.ts";
import { savedTensors, trainedParameters } from "../../src/model/weights.ts";
import { slotsOf } from "../../src/train/optimizer.ts";
import { type OptimizerName, OPTIMIZERS } from "../../src/train/optimizers.ts";
import { gpu } from "../kernels/harness.ts";
import * as reference from "../reference/muon.ts";
import {
  options,
  randomCheckpoint,
  randomPairs,
  smallConfig,
  takeStep,
} from "../model/small_models.ts";

const checkpoint = randomCheckpoint(smallConfig(), 1);
const pairs = randomPairs(2, 4, checkpoint.config.vocabSize, 40);
const [RATE, DECAY, LARGEST_NORM] = [1e-3, 0.3, 0.01];

type FirstStep = (gradient: Float64Array, shape: readonly number[]) => Float64Array;

const adamw: FirstStep = (gradient) => gradient.map((g) => RATE * g / (Math.abs(g) + 1e-8));

const muon: FirstStep = (gradient, [rows, columns]) => {
  const moved = new Float64Array(gradient.length);
  reference.muon(moved, new Float64Array(gradient.length), gradient, [rows, columns], {
    ...{ learningRate: RATE, weightDecay: 0, momentum: 0.95, adjustLrFn: "match_rms_adamw" },
  });
  return moved.map((w) => -w);
};

/** Whether it is a linear layer's, of those that a checkpoint stores. */
const isLinear = (name: string) => name.includes("_proj.");

/** What a first step takes off a tensor of a checkpoint besides its decay, by its clipped gradient. */
const FIRST_STEPS: Record<OptimizerName, (name: string) => FirstStep> = {
  adamw_torch: () => adamw,
  lion_32bit: () => (gradient) => gradient.map((g) => RATE * Math.sign(g)),
  sgd: () => (gradient) => gradient.map((g) => RATE * g),
  muon: (name) => isLinear(name) ? muon : adamw,
};

/** What is kept of a parameter, where those of linear layers are stacked. */
const SLOTS: Record<OptimizerName, (name: string) => string[]> = {
  adamw_torch: () => ["m", "v"],
  lion_32bit: () => ["m"],
  sgd: () => [],
  muon: (name) => name.includes("_proj") ? ["m"] : ["m", "v"],
};

const LORA = { "lora-r": 6, "lora-target-modules": "all-linear" };
const cases: (readonly [OptimizerName, Record<string, unknown>])[] = [
  ...(Object.keys(OPTIMIZERS) as OptimizerName[]).map((optim) => [optim, {}] as const),
  ["muon", LORA],
];

for (const [optim, flags] of cases) {
  const what = [optim, ...Object.keys(flags)].join(", ");
  Deno.test(`${what}: the first step, and what is kept`, async () => {
    const all = options("train", {
      ...{ optim, "weight-decay": DECAY, "max-grad-norm": LARGEST_NORM, ...flags },
    });
    const { model, optimizer, ...training } = await startDpo(
      gpu,
      checkpoint,
      null,
      pairs,
      all,
      "f32",
    );
    const weightsNow = async () => {
      const weights = new Map<string, Float32Array>();
      for (const { name, data } of savedTensors(gpu, model.weights)) {
        weights.set(name, await data());
      }
      return weights;
    };
    const before = await weightsNow();
    const { gradients } = await takeStep({ model, optimizer, ...training }, [0, 1, 2, 3], RATE);
    const after = await weightsNow();
    const norm = Math.hypot(...gradients.values().flatMap((gradient) => [...gradient]));
    assert.ok(norm > 10 * LARGEST_NORM, `the norm ${norm} is clipped`);
    let moved = 0;
    const shapes = new Map(
      savedTensors(gpu, model.weights).map(({ name, shape }) => [name, shape]),
    );
    for (const [name, gradient] of gradients) {
      const decay = name.endsWith("norm.weight") ? 0 : RATE * DECAY;
      const clipped = Float64Array.from(gradient, (g) => g * LARGEST_NORM / (norm + 1e-6));
      const steps = FIRST_STEPS[optim](name)(clipped, shapes.get(name)!);
      for (const [i, step] of steps.entries()) {
        const weight = before.get(name)![i];
        const expected = weight * (1 - decay) - step;
        const error = Math.abs(after.get(name)![i] - expected);
        assert.ok(error < 3e-7, `${name}[${i}], gradient ${clipped[i]}: ${error} off`);
        if (after.get(name)![i] !== weight) moved++;
      }
    }
    assert.ok(moved > 1000, `${moved} weights moved`);

    const names = slotsOf(optimizer).map(({ name }) => name);
    const expected = trainedParameters(model.weights)
      .flatMap(({ spec: { name } }) => SLOTS[optim](name).map((slot) => `${name}.${slot}`));
    assert.deepEqual(names.toSorted(), expected.toSorted());
  });
}
