import assert from "node:assert/strict";
import {
  matmulBackwardInput,
  matmulBackwardWeight,
  matmulForward,
  matmulGated,
  paddedColumns,
} from "../../src/kernels/matmul.ts";
import { swigluForward } from "../../src/kernels/swiglu.ts";
import * as reference from "../reference/matmul.ts";
import {
  assertClose,
  EPSILON,
  forEachVariant,
  operandTypes,
  output,
  read,
  run,
  upload,
  values,
} from "./harness.ts";

// M, N, K: one element, primes, at and just over tiles of 32 and 64 with 16 steps, and SmolLM's query-key-value projection.
const shapes = [[1, 1, 4], [7, 13, 20], [33, 37, 20], [64, 64, 16], [65, 67, 36], [130, 263, 48], [
  70,
  960,
  576,
]];

/**
 * Each of K additions rounds a partial sum of about sqrt(K) / 3 by up to 2^-24 of it; these errors add up like a random
 * walk to about K / 6 such units, and the worst of 70,000 elements lies five deviations out. Plus that of storing it.
 */
function tolerance(K: number, stored: "f32" | "f16") {
  return { absolute: Math.max(K, 8) * 2 ** -24, relative: 2 * EPSILON[stored] };
}

async function forEachShape(check: (M: number, N: number, K: number) => Promise<void>) {
  await forEachVariant("product", async () => {
    for (const [M, N, K] of shapes) await check(M, N, K);
  });
}

for (const operand of operandTypes) {
  Deno.test(`matmul_forward equals the reference, ${operand}`, async () => {
    await forEachShape(async (M, N, K) => {
      const stride = paddedColumns(N);
      const x = values(1, M * K, operand);
      const weight = values(2, N * K, operand);
      const residual = values(3, M * stride);
      for (
        const [added, result] of [[undefined, operand], [residual, "f32"], [
          residual,
          operand,
        ]] as const
      ) {
        const y = output([M, stride], result);
        run((commands) =>
          matmulForward(
            commands,
            y,
            upload(x, [M, K], operand),
            upload(weight, [N, K], operand),
            { residual: added && upload(added, [M, stride]) },
          )
        );
        const expected = reference.matmulForward(x, weight, added, { M, N, K, stride });
        assertClose(await read(y), expected, tolerance(K, result));
      }
    });
  });

  Deno.test(`matmul_forward with a bias equals the reference, ${operand}`, () =>
    forEachVariant("product", async () => {
      for (const [M, N, K] of [[1, 4, 4], [7, 20, 20], [33, 36, 20], [65, 68, 36], [26, 264, 48]]) {
        const x = values(1, M * K, operand);
        const weight = values(2, N * K, operand);
        const bias = values(3, N);
        const residual = values(4, M * N);
        for (const added of [undefined, residual]) {
          const y = output([M, N], added ? "f32" : operand);
          run((commands) =>
            matmulForward(
              commands,
              y,
              upload(x, [M, K], operand),
              upload(weight, [N, K], operand),
              { bias: upload(bias, [N]), residual: added && upload(added, [M, N]) },
            )
          );
          const expected = reference.matmulForward(x, weight, added, { M, N, K, stride: N }, bias);
          assertClose(await read(y), expected, tolerance(K, added ? "f32" : operand));
        }
      }
    }));

  Deno.test(`matmul_backward_input and _weight equal the reference, ${operand}`, async () => {
    await forEachShape(async (M, N, K) => {
      const stride = paddedColumns(N);
      const dy = values(4, M * stride, operand);
      const x = values(5, M * K, operand);
      const weight = values(6, N * K, operand);
      const before = values(7, N * K);
      const dx = output([M, K], operand);
      const dweight = output([N, K]);
      const upstream = upload(dy, [M, stride], operand);
      const start = upload(before, [N, K]);
      run((commands) => {
        commands.copy(dweight, start);
        matmulBackwardInput(commands, dx, upstream, upload(weight, [N, K], operand));
        matmulBackwardWeight(commands, dweight, upstream, upload(x, [M, K], operand));
      });
      const expected = reference.matmulBackward(dy, x, weight, { M, N, K, stride });
      assertClose(await read(dx), expected.dx, { ...tolerance(N, operand), name: "dx" });
      assertClose(
        await read(dweight),
        expected.dweight.map((sum, i) => sum + before[i]),
        { ...tolerance(M, "f32"), name: "dweight" },
      );
    });
  });
}

Deno.test("a row of matmul_forward has the same bits wherever it stands in a batch", async () => {
  const [N, K] = [67, 36];
  const stride = paddedColumns(N);
  const x = values(8, 70 * K);
  const weight = upload(values(9, N * K), [N, K]);
  const whole = output([70, stride]);
  const alone = output([1, stride]);
  run((commands) => {
    matmulForward(commands, whole, upload(x, [70, K]), weight);
    matmulForward(commands, alone, upload(x.slice(66 * K, 67 * K), [1, K]), weight);
  });
  assert.deepEqual(await read(alone), (await read(whole)).slice(66 * stride, 67 * stride));
});

for (const operand of operandTypes) {
  Deno.test(`every variant gives the same bits, ${operand}`, async () => {
    const [M, N, K] = [65, 67, 36];
    const x = upload(values(10, M * K, operand), [M, K], operand);
    const weight = upload(values(11, N * K, operand), [N, K], operand);
    const dyShape = [M, paddedColumns(N)];
    const dy = upload(values(12, M * paddedColumns(N), operand), dyShape, operand);
    const start = upload(values(13, N * K), [N, K]);
    const results: Float32Array[][] = [];
    await forEachVariant("product", async () => {
      const [y, dx, dweight] = [output([M, paddedColumns(N)]), output([M, K]), output([N, K])];
      run((commands) => {
        matmulForward(commands, y, x, weight);
        matmulBackwardInput(commands, dx, dy, weight);
        commands.copy(dweight, start);
        matmulBackwardWeight(commands, dweight, dy, x);
      });
      results.push([await read(y), await read(dx), await read(dweight)]);
    });
    for (const result of results) assert.deepEqual(result, results[0]);
  });
}

for (const operand of operandTypes) {
  Deno.test(`matmul_backward_input equals the reference in parts of its sums, ${operand}`, async () => {
    // A part that is not full, one that has nothing to do, and the shape of a head.
    for (const [M, N, K] of [[33, 261, 20], [3, 65, 36], [7, 1024, 64]]) {
      const stride = paddedColumns(N);
      const dy = values(4, M * stride, operand);
      const weight = values(6, N * K, operand);
      const [dx, parts] = [output([M, K], operand), output([8, M, K])];
      const upstream = upload(dy, [M, stride], operand);
      run((commands) =>
        matmulBackwardInput(commands, dx, upstream, upload(weight, [N, K], operand), parts)
      );
      const x = new Float32Array(M * K);
      const expected = reference.matmulBackward(dy, x, weight, { M, N, K, stride });
      assertClose(await read(dx), expected.dx, { ...tolerance(N, operand), name: "dx" });
      await read(parts);
    }
  });
}

/** As assertClose, and where nothing may differ, to the bit. */
function assertAlike(
  found: Float32Array,
  expected: Float32Array,
  tolerance: { absolute: number; relative: number },
): void {
  if (tolerance.absolute === 0) assert.deepEqual(found, expected);
  else assertClose(found, expected, tolerance);
}

for (const operand of operandTypes) {
  const same = operand === "f32" ? "has the bits of" : "equals";
  Deno.test(`matmul_gated ${same} a product and swiglu, ${operand}`, async () => {
    for (const [M, F, K] of [[1, 4, 4], [7, 36, 20], [33, 260, 44], [70, 192, 64]]) {
      const x = upload(values(14, M * K, operand), [M, K], operand);
      const weight = upload(values(15, 2 * F * K, operand), [2 * F, K], operand);
      const [expectedGateUp, expected] = [output([M, 2 * F], operand), output([M, F], operand)];
      const bias = M % 2 === 0 ? undefined : upload(values(16, 2 * F), [2 * F]);
      run((commands) => {
        matmulForward(commands, expectedGateUp, x, weight, { bias });
        swigluForward(commands, expected, expectedGateUp);
      });
      await forEachVariant("product", async () => {
        for (const keep of [true, false]) {
          const [gateUp, a] = [output([M, 2 * F], operand), output([M, F], operand)];
          run((commands) => matmulGated(commands, a, gateUp, x, weight, { bias, keep }));
          // A compiler may leave out that gate and up are rounded to f16 first, as Mesa 25's does.
          const relative = operand === "f32" ? 0 : 4 * EPSILON.f16;
          const absolute = operand === "f32" ? 0 : 2 ** -24;
          assertAlike(await read(a), await read(expected), { absolute, relative });
          const found = await read(gateUp);
          if (keep) assert.deepEqual(found, await read(expectedGateUp));
        }
      });
    }
  });
}
