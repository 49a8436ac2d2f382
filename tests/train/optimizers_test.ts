/** Each optimizer in a training: its update is its formula's, of clipped gradients, and it keeps what its row says. */
import assert from "node:assert/strict";
import { startDpo } from "../../src/train/training.ts";
import { savedTensors } from "../../src/model/weights.ts";
import { slotsOf } from "../../src/train/optimizer.ts";
import { type OptimizerName, OPTIMIZERS } from "../../src/train/optimizers.ts";
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
const [RATE, DECAY, LARGEST_NORM] = [1e-3, 0.3, 0.01];

/** What a first step takes off a weight besides its decay, by the clipped gradient. */
const FIRST_STEPS: Record<OptimizerName, (g: number) => number> = {
  adamw_torch: (g) => RATE * g / (Math.abs(g) + 1e-8),
  lion_32bit: (g) => RATE * Math.sign(g),
  sgd: (g) => RATE * g,
};

const SLOTS: Record<OptimizerName, string[]> = {
  adamw_torch: ["m", "v"],
  lion_32bit: ["m"],
  sgd: [],
};

for (const optim of Object.keys(OPTIMIZERS) as OptimizerName[]) {
  Deno.test(`${optim}: the first step, and what is kept`, async () => {
    const all = options("train", {
      ...{ optim, "weight-decay": DECAY, "max-grad-norm": LARGEST_NORM },
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
    for (const [name, gradient] of gradients) {
      const decay = name.endsWith("norm.weight") ? 0 : RATE * DECAY;
      for (const [i, g] of gradient.entries()) {
        const clipped = g * LARGEST_NORM / (norm + 1e-6);
        const weight = before.get(name)![i];
        const expected = weight * (1 - decay) - FIRST_STEPS[optim](clipped);
        const error = Math.abs(after.get(name)![i] - expected);
        assert.ok(error < 3e-7, `${name}[${i}], gradient ${clipped}: ${error} off`);
        if (after.get(name)![i] !== weight) moved++;
      }
    }
    assert.ok(moved > 1000, `${moved} weights moved`);

    const names = slotsOf(model.weights, optimizer).map(({ name }) => name);
    const expected = [...model.weights.parameters.keys()]
      .flatMap((name) => SLOTS[optim].map((slot) => `${name}.${slot}`));
    assert.deepEqual(names.toSorted(), expected.toSorted());
  });
}
