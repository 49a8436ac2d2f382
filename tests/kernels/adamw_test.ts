import assert from "node:assert/strict";
import { readTensor, readTensorU32 } from "../../src/gpu/tensor.ts";
import { adamw, biasCorrection, CORRECTION, CORRECTION_WORDS } from "../../src/kernels/adamw.ts";
import * as reference from "../reference/adamw.ts";
import { assertClose, gpu, output, read, run, upload, values } from "./harness.ts";
import { stateOf } from "./optimizer_state.ts";

const options = {
  learningRate: 1e-2,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0.1,
  decaying: 0,
};

const newCorrection = () => upload(new Uint32Array(CORRECTION_WORDS), [CORRECTION_WORDS]);

Deno.test("bias_correction is 1 - beta^step, near to 0 and to 1", async () => {
  const betas = [[0.9, 0.999], [0, 0.5], [0.99999, 0.3]];
  for (const [beta1, beta2] of betas) {
    for (const done of [0, 1, 9, 99999]) {
      const correction = upload(Uint32Array.of(done, 0, 0), [CORRECTION_WORDS]);
      run((commands) => biasCorrection(commands, correction, stateOf(1), { beta1, beta2 }));
      const found = await readTensor(gpu, correction);
      const step = done + 1;
      assert.equal((await readTensorU32(gpu, correction))[CORRECTION.step], step);
      assertClose(
        [found[CORRECTION.bias1], found[CORRECTION.bias2]],
        [beta1, beta2].map((beta) => -Math.expm1(step * Math.log(beta))),
        { absolute: 0, relative: 1e-5, name: `bias of ${beta1} and ${beta2} at step ${step}` },
      );
    }
  }
});

Deno.test("a skipped step counts no update and changes no tensor", async () => {
  const before = values(2, 5000);
  const tensor = () => upload(before, [5000]);
  const [weight, m, v] = [tensor(), tensor(), tensor()];
  const correction = newCorrection();
  const state = stateOf(0);
  run((commands) => {
    biasCorrection(commands, correction, state, options);
    adamw(commands, { weight, m, v, gradient: tensor(), state, correction }, options);
  });
  for (const kept of [weight, m, v]) assert.deepEqual(await readTensor(gpu, kept), before);
  assert.deepEqual(await readTensorU32(gpu, correction), new Uint32Array(CORRECTION_WORDS));
});

// One element, a prime, and just over one workgroup of 256 threads with four elements each. Once with an epsilon that counts
// beside the root of the mean square, and with weights that decay in front of others.
for (
  const [length, epsilon, decaying] of [
    [1, 1e-8, 1],
    [13, 1e-2, 8],
    [1025, 1e-8, 0],
    [1025, 1e-8, 1025],
  ]
) {
  Deno.test(`adamw equals the reference over ten steps, ${length} elements, epsilon ${epsilon}, ${decaying} decay`, async () => {
    const given = { ...options, epsilon, decaying };
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
    const [state, correction] = [stateOf(0.5), newCorrection()];
    for (let step = 1; step <= 10; step++) {
      const gradient = values(10 + step, length);
      const tensor = upload(gradient.map((value) => 2 * value), [length]);
      run((commands) => {
        biasCorrection(commands, correction, state, given);
        adamw(commands, { weight, m, v, gradient: tensor, state, correction }, given);
      });
      reference.adamw(expected, em, ev, gradient, step, given);
    }
    // Ten roundings of the weight, and a step of 1e-2 known to 1e-6.
    assertClose(await read(weight), expected, { absolute: 2e-6, name: "weight" });
    assertClose(await read(m), em, { absolute: 1e-6, name: "m" });
    assertClose(await read(v), ev, { absolute: 1e-7, relative: 1e-5, name: "v" });
  });
}
