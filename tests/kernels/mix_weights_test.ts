import assert from "node:assert/strict";
import { mixWeights } from "../../src/kernels/mix_weights.ts";
import { assertClose, operandTypes, output, read, run, upload, values } from "./harness.ts";

/** A reference with NaN and guards behind it, mixed with the policy `times` times. */
async function mixed(
  policy: Float32Array,
  reference: Float32Array,
  alpha: number,
  { dtype = "f32" as "f32" | "f16", times = 1 } = {},
): Promise<Float32Array> {
  const shape = [policy.length];
  const found = output(shape);
  run((commands) => commands.copy(found, upload(reference, shape)));
  for (let i = 0; i < times; i++) {
    run((commands) => mixWeights(commands, found, upload(policy, shape, dtype), alpha));
  }
  return await read(found);
}

for (const dtype of operandTypes) {
  // One element, a prime, and just over one workgroup of 256 threads with four elements each.
  for (const length of [1, 13, 1025]) {
    Deno.test(`mixed weights equal the reference over five times, ${length} elements, ${dtype}`, async () => {
      const [policy, begin] = [values(1, length, dtype), values(2, length)];
      const found = await mixed(policy, begin, 0.6, { dtype, times: 5 });
      const expected = Float64Array.from(begin);
      for (let i = 0; i < 5; i++) {
        for (const [at, value] of policy.entries()) {
          expected[at] = 0.6 * value + 0.4 * expected[at];
        }
      }
      assertClose(found, expected, { absolute: 5e-7 });
    });
  }
}

Deno.test("weights mixed with alpha 1 are the policy's, and with alpha 0 they stay", async () => {
  const [policy, reference] = [values(3, 700, "f32", 1e4), values(4, 700, "f32", 1e-4)];
  assert.deepEqual(await mixed(policy, reference, 1), policy);
  assert.deepEqual(await mixed(policy, reference, 0), reference);
});

Deno.test("mixing weights refuses tensors of other shapes and types", () => {
  const policy = upload(values(5, 8), [8]);
  assert.throws(
    () => run((commands) => mixWeights(commands, output([2, 4]), policy, 0.5)),
    /^RangeError: mix_weights: expected reference of shape \(8\), found/,
  );
  const half = upload(values(5, 8), [8], "f16");
  assert.throws(
    () => run((commands) => mixWeights(commands, half, policy, 0.5)),
    /^RangeError: mix_weights: expected reference in f32, found/,
  );
});
