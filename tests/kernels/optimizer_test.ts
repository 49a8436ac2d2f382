import assert from "node:assert/strict";
import { readTensor, readTensorU32 } from "../../src/gpu/tensor.ts";
import { convert } from "../../src/kernels/convert.ts";
import { adamw, gradNorm, gradNormPartial, partialCount } from "../../src/kernels/optimizer.ts";
import { STATE, STATE_WORDS } from "../../src/kernels/state.ts";
import * as reference from "../reference/adamw.ts";
import {
  assertClose,
  forEachVariant,
  gpu,
  lackOfF16,
  output,
  read,
  run,
  upload,
  values,
} from "./harness.ts";
import { unless } from "../skip.ts";

const options = {
  learningRate: 1e-2,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0.1,
};

function newState(lossScale: number) {
  return upload(Float32Array.of(lossScale, ...new Array(STATE_WORDS - 1).fill(0)), [STATE_WORDS]);
}

/** Runs the norm over tensors as a training step does. */
function norm(
  gradients: Float32Array[],
  state: ReturnType<typeof newState>,
  maxNorm: number,
  dynamic = false,
) {
  const tensors = gradients.map((gradient) => upload(gradient, [gradient.length]));
  const slots = tensors.reduce((total, tensor) => total + partialCount(tensor), 0);
  const partials = output([slots]);
  run((commands) => {
    let first = 0;
    for (const tensor of tensors) {
      gradNormPartial(commands, partials, tensor, first);
      first += partialCount(tensor);
    }
    gradNorm(commands, state, { ...partials, shape: [slots] }, { maxNorm, dynamic, ...options });
  });
  return tensors;
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
      const bias = [found[STATE.bias1], found[STATE.bias2]];
      assertClose(bias, [1 - options.beta1, 1 - options.beta2], {
        absolute: 0,
        relative: 1e-6,
        name: "bias",
      });
      assert.equal((await readTensorU32(gpu, state))[STATE.step], 1);
    }
  }));

Deno.test("an overflow skips the step and halves a dynamic loss scale", async () => {
  for (const bad of [Infinity, NaN]) {
    const gradient = values(1, 5000);
    gradient[4321] = bad;
    const state = newState(1024);
    const [tensor] = norm([gradient], state, 1, true);
    const words = await readTensorU32(gpu, state);
    assert.equal(words[STATE.skipped], 1);
    assert.equal(words[STATE.step], 0);
    assert.equal((await readTensor(gpu, state))[STATE.loss_scale], 512);
    const before = values(2, 5000);
    const [weight, m, v] = [upload(before, [5000]), upload(before, [5000]), upload(before, [5000])];
    run((commands) => adamw(commands, weight, m, v, tensor, state, options));
    for (const kept of [weight, m, v]) assert.deepEqual(await readTensor(gpu, kept), before);
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

// One element, a prime, and just over one workgroup of 256 threads with four elements each. Once with an epsilon that counts
// beside the root of the mean square.
for (const [length, epsilon] of [[1, 1e-8], [13, 1e-2], [1025, 1e-8]]) {
  Deno.test(`adamw equals the reference over ten steps, ${length} elements, epsilon ${epsilon}`, async () => {
    const given = { ...options, epsilon };
    const start = values(1, length);
    const weight = output([length]);
    const zeros = upload(new Float32Array(length), [length]);
    const [m, v] = [output([length]), output([length])];
    const initial = upload(start, [length]);
    run((commands) => {
      commands.copy(weight, initial);
      commands.copy(m, zeros);
      commands.copy(v, zeros);
    });
    const expected = Float64Array.from(start);
    const [em, ev] = [new Float64Array(length), new Float64Array(length)];
    const state = newState(2);
    for (let step = 1; step <= 10; step++) {
      const gradient = values(10 + step, length);
      const [tensor] = norm([gradient.map((value) => 2 * value)], state, 0);
      run((commands) => adamw(commands, weight, m, v, tensor, state, given));
      reference.adamw(expected, em, ev, gradient, step, given);
    }
    // Ten roundings of the weight, and a step of 1e-2 known to 1e-6.
    assertClose(await read(weight), expected, { absolute: 2e-6, name: "weight" });
    assertClose(await read(m), em, { absolute: 1e-6, name: "m" });
    assertClose(await read(v), ev, { absolute: 1e-7, relative: 1e-5, name: "v" });
  });
}

Deno.test({
  ...unless(lackOfF16, "convert rounds f32 to f16 and back, odd lengths included"),
  fn: async () => {
    for (const length of [1, 7, 1025]) {
      const data = values(1, length);
      const half = output([length], "f16");
      const full = output([length]);
      run((commands) => {
        convert(commands, half, upload(data, [length]));
        convert(commands, full, half);
      });
      const expected = Float32Array.from(Float16Array.from(data));
      assertClose(await read(full), expected, { absolute: 0, relative: 2 ** -10, name: "f16" });
    }
  },
});
