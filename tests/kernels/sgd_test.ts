import assert from "node:assert/strict";
import { readTensor } from "../../src/gpu/tensor.ts";
import { sgd } from "../../src/kernels/sgd.ts";
import { assertClose, gpu, output, read, run, upload, values } from "./harness.ts";
import { stateOf } from "./optimizer_state.ts";

const options = { learningRate: 1e-2, weightDecay: 0.1, decaying: 0 };

// One element, a prime, and just over one workgroup of 256 threads with four elements each.
for (const [length, decaying] of [[1, 1], [13, 8], [1025, 0]]) {
  Deno.test(`sgd equals the reference over ten steps, ${length} elements, ${decaying} decay`, async () => {
    const start = values(1, length);
    const weight = output([length]);
    run((commands) => commands.copy(weight, upload(start, [length])));
    const expected = Float64Array.from(start);
    for (let step = 1; step <= 10; step++) {
      const data = values(10 + step, length);
      const gradient = upload(data.map((value) => 2 * value), [length]);
      const tensors = { weight, gradient, state: stateOf(0.5) };
      run((commands) => sgd(commands, tensors, { ...options, decaying }));
      for (const [i, g] of data.entries()) {
        const decay = i < decaying ? options.weightDecay * expected[i] : 0;
        expected[i] -= options.learningRate * (g + decay);
      }
    }
    assertClose(await read(weight), expected, { absolute: 2e-6, name: "weight" });
  });
}

Deno.test("a skipped step of SGD changes no weight", async () => {
  const before = values(2, 5000);
  const [weight, gradient] = [upload(before, [5000]), upload(values(3, 5000), [5000])];
  const given = { ...options, decaying: 5000 };
  run((commands) => sgd(commands, { weight, gradient, state: stateOf(0) }, given));
  assert.deepEqual(await readTensor(gpu, weight), before);
});
