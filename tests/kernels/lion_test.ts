import assert from "node:assert/strict";
import { readTensor } from "../../src/gpu/tensor.ts";
import { lion } from "../../src/kernels/lion.ts";
import * as reference from "../reference/lion.ts";
import { assertClose, gpu, output, read, run, upload, values } from "./harness.ts";
import { stateOf } from "./optimizer_state.ts";

const options = { learningRate: 1e-2, beta1: 0.9, beta2: 0.99, weightDecay: 0.1, decaying: 0 };

// One element, a prime, and just over one workgroup of 256 threads with four elements each.
for (const [length, decaying] of [[1, 1], [13, 8], [1025, 0]]) {
  Deno.test(`lion equals the reference over ten steps, ${length} elements, ${decaying} decay`, async () => {
    const given = { ...options, decaying };
    const start = values(1, length);
    const [weight, m] = [output([length]), output([length])];
    run((commands) => {
      commands.copy(weight, upload(start, [length]));
      commands.copy(m, upload(new Float32Array(length), [length]));
    });
    const [expected, em] = [Float64Array.from(start), new Float64Array(length)];
    const state = stateOf(0.5);
    for (let step = 1; step <= 10; step++) {
      const data = values(10 + step, length);
      if (step === 1) data[0] = 0; // no direction at all
      const gradient = upload(data.map((value) => 2 * value), [length]);
      run((commands) => lion(commands, { weight, m, gradient, state }, given));
      reference.lion(expected, em, data, given);
    }
    assertClose(await read(weight), expected, { absolute: 2e-6, name: "weight" });
    assertClose(await read(m), em, { absolute: 1e-6, name: "m" });
  });
}

Deno.test("a skipped step of Lion changes no tensor", async () => {
  const before = values(2, 5000);
  const [weight, m, gradient] = [1, 2, 3].map(() => upload(before, [5000]));
  const given = { ...options, decaying: 5000 };
  run((commands) => lion(commands, { weight, m, gradient, state: stateOf(0) }, given));
  for (const kept of [weight, m]) assert.deepEqual(await readTensor(gpu, kept), before);
});
