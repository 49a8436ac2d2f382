import assert from "node:assert/strict";
import { swigluBackward, swigluForward } from "../../src/kernels/swiglu.ts";
import * as reference from "../reference/swiglu.ts";
import {
  assertClose,
  EPSILON,
  operandTypes,
  output,
  read,
  run,
  upload,
  values,
} from "./harness.ts";

// One thread, primes, just over a workgroup of 256 threads with four elements each, SmolLM's width.
const shapes = [[1, 4], [7, 52], [1, 1028], [5, 1536]];

for (const operand of operandTypes) {
  // exp and two divisions of WGSL: 3 + 2|x| units for exp at |x| <= 8, 2.5 units a division.
  const tolerance = { absolute: 1e-6, relative: 8 * EPSILON[operand] };

  Deno.test(`swiglu_forward equals the reference, ${operand}`, async () => {
    for (const [N, F] of shapes) {
      const gateUp = values(1, N * 2 * F, operand, 8);
      const a = output([N, F], operand);
      run((commands) => swigluForward(commands, a, upload(gateUp, [N, 2 * F], operand)));
      assertClose(await read(a), reference.swigluForward(gateUp, N, F), tolerance);
    }
  });

  Deno.test(`swiglu_backward equals the reference, ${operand}`, async () => {
    for (const [N, F] of shapes) {
      const gateUp = values(2, N * 2 * F, operand, 8);
      const da = values(3, N * F, operand);
      const dgateUp = output([N, 2 * F], operand);
      run((commands) =>
        swigluBackward(
          commands,
          dgateUp,
          upload(da, [N, F], operand),
          upload(gateUp, [N, 2 * F], operand),
        )
      );
      // 1 - sigmoid(g) loses what sigmoid rounds away, times g up to 8 and up to 8: an absolute error.
      const expected = reference.swigluBackward(da, gateUp, N, F);
      assertClose(await read(dgateUp), expected, { ...tolerance, absolute: 64 * EPSILON.f32 });
    }
  });
}

Deno.test("swiglu stays finite where the exponential overflows", async () => {
  const gateUp = Float32Array.of(-100, 100, -1000, 1000, 1, 1, 1, 1);
  const [a, dgateUp] = [output([1, 4]), output([1, 8])];
  run((commands) => {
    swigluForward(commands, a, upload(gateUp, [1, 8]));
    const da = upload(new Float32Array(4).fill(1), [1, 4]);
    swigluBackward(commands, dgateUp, da, upload(gateUp, [1, 8]));
  });
  assertClose(await read(a), [0, 100, 0, 1000], { absolute: 1e-6 });
  assertClose(await read(dgateUp), [0, 1, 0, 1, 0, 100, 0, 1000], { absolute: 1e-6 });
});

Deno.test("swiglu refuses operands of two types", () => {
  const a = output([1, 4]);
  const gateUp = { ...upload(new Float32Array(8), [1, 8]), dtype: "f16" as const };
  assert.throws(() => run((commands) => swigluForward(commands, a, gateUp)), {
    name: "RangeError",
    message: /expected gate_up in f32/,
  });
});
