import assert from "node:assert/strict";
import { readTensor, readTensorU32, type Tensor } from "../../src/gpu/tensor.ts";
import {
  gradientSlices,
  gradNorm,
  gradNormPartial,
  partialCount,
} from "../../src/kernels/grad_norm.ts";
import { STATE, STATE_WORDS } from "../../src/kernels/state.ts";
import { assertClose, forEachVariant, gpu, output, run, upload, values } from "./harness.ts";

function newState(lossScale: number) {
  return upload(Float32Array.of(lossScale, ...new Array(STATE_WORDS - 1).fill(0)), [STATE_WORDS]);
}

/** Runs the norm over tensors in an arena as a training step does: with gaps between them, and partial sums in another order. */
function norm(gradients: Float32Array[], state: Tensor, maxNorm: number, dynamic = false): void {
  const tensors: { shape: number[]; first: number; partial: number }[] = [];
  let count = 0;
  for (const { length } of gradients.toReversed()) {
    tensors.unshift({ shape: [length], first: 0, partial: count });
    count += partialCount([length]);
  }
  let end = 0;
  for (const tensor of tensors) {
    tensor.first = end;
    end += Math.ceil(tensor.shape[0] / 128) * 128;
  }
  const data = new Float32Array(end).fill(NaN);
  for (const [i, { first }] of tensors.entries()) data.set(gradients[i], first);
  const slices = gradientSlices(gpu, tensors);
  assert.equal(slices.length, 4 * count);
  const partials = output([count]);
  run((commands) => {
    gradNormPartial(commands, partials, upload(data, [end]), upload(slices, [count, 4]));
    gradNorm(commands, state, partials, { maxNorm, dynamic });
  });
}

Deno.test("grad_norm equals the norm of all tensors together, and clips as PyTorch does", () =>
  forEachVariant("gradNorm", async () => {
    const gradients = [1, 4095, 4097, 70001].map((length, i) => values(i, length));
    const expected = Math.hypot(...gradients.map((gradient) => Math.hypot(...gradient))) / 4;
    for (const maxNorm of [0, 1, 1e6]) {
      const state = newState(4);
      norm(gradients, state, maxNorm);
      const found = await readTensor(gpu, state);
      const clip = maxNorm === 0 ? 1 : Math.min(1, maxNorm / (expected + 1e-6));
      assertClose([found[STATE.norm]], [expected], { absolute: 0, relative: 1e-6, name: "norm" });
      assertClose([found[STATE.multiplier]], [clip / 4], {
        absolute: 0,
        relative: 2e-6,
        name: "multiplier",
      });
      const words = await readTensorU32(gpu, state);
      assert.deepEqual([words[STATE.clean_steps], words[STATE.skipped]], [1, 0]);
    }
  }));

Deno.test("an overflow skips the step and halves a dynamic loss scale", async () => {
  for (const bad of [Infinity, NaN]) {
    const gradient = values(1, 5000);
    gradient[4321] = bad;
    const state = newState(1024);
    norm([gradient], state, 1, true);
    const words = await readTensorU32(gpu, state);
    assert.equal(words[STATE.skipped], 1);
    assert.equal(words[STATE.multiplier], 0);
    assert.equal((await readTensor(gpu, state))[STATE.loss_scale], 512);
  }
});

Deno.test("a dynamic loss scale doubles after 2,000 clean steps, a static one stays", async () => {
  for (const [dynamic, expected] of [[true, 2048], [false, 1024]] as const) {
    const state = newState(1024);
    const words = new Uint32Array(await readTensorU32(gpu, state));
    words[STATE.clean_steps] = 1999;
    gpu.device.queue.writeBuffer(state.storage.buffer, 0, words);
    norm([values(1, 10)], state, 0, dynamic);
    assert.equal((await readTensor(gpu, state))[STATE.loss_scale], expected);
  }
});

Deno.test("a dynamic loss scale stays between 1 and 2^24", async () => {
  for (const [scale, gradient] of [[1, Infinity], [2 ** 24, 1]] as const) {
    const state = newState(scale);
    const words = new Uint32Array(await readTensorU32(gpu, state));
    words[STATE.clean_steps] = 1999;
    gpu.device.queue.writeBuffer(state.storage.buffer, 0, words);
    norm([Float32Array.of(gradient)], state, 0, true);
    assert.equal((await readTensor(gpu, state))[STATE.loss_scale], scale);
  }
});
