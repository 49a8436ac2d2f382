import assert from "node:assert/strict";
import { Commands } from "../../src/gpu/commands.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { createTensor, elementCount, readTensor, writeTensor } from "../../src/gpu/tensor.ts";
import { paddedColumns } from "../../src/kernels/matmul.ts";
import { matvecForward } from "../../src/kernels/matvec.ts";
import { prefer } from "../../src/kernels/tuning.ts";
import * as reference from "../reference/matmul.ts";
import { rmsnormForward } from "../reference/rmsnorm.ts";
import { swigluForward } from "../reference/swiglu.ts";
import {
  assertClose,
  EPSILON,
  forEachVariant,
  gpu,
  openLeastGpu,
  operandTypes,
  output,
  read,
  run,
  upload,
  values,
} from "./harness.ts";

// M, N, K: one element, primes, every number of rows per block, blocks that are not full, and SmolLM's projections.
const shapes = [
  [1, 1, 4],
  [1, 13, 20],
  [2, 32, 128],
  [3, 67, 36],
  [4, 5, 8],
  [7, 33, 132],
  [8, 64, 16],
  [21, 13, 44],
  [1, 960, 576],
];

for (const operand of operandTypes) {
  Deno.test(`matvec_forward equals the reference, ${operand}`, () =>
    forEachVariant("matvec", async () => {
      for (const [M, N, K] of shapes) {
        const stride = paddedColumns(N);
        const x = values(1, M * K, operand);
        const weight = values(2, N * K, operand);
        const residual = values(3, M * stride);
        for (const added of [undefined, residual]) {
          const stored = added ? "f32" : operand;
          const y = output([M, stride], stored);
          run((commands) =>
            matvecForward(
              commands,
              y,
              upload(x, [M, K], operand),
              upload(weight, [N, K], operand),
              added && { residual: upload(added, [M, stride]) },
            )
          );
          const expected = reference.matmulForward(x, weight, added, { M, N, K, stride });
          // As for matmul_forward, though with shorter chains of additions.
          const absolute = Math.max(K, 8) * 2 ** -24;
          assertClose(await read(y), expected, {
            absolute,
            relative: 2 * EPSILON[stored],
            name: `y of (${M}, ${N}, ${K})`,
          });
        }
      }
    }));
}

for (const operand of operandTypes) {
  for (const gated of [false, true]) {
    const name = `matvec_forward with a bias${gated ? " before swiglu" : ""}, ${operand}`;
    Deno.test(`${name} equals the reference`, () =>
      forEachVariant("matvec", async () => {
        for (const [M, N, K] of [[1, 4, 4], [2, 36, 128], [3, 68, 36], [7, 260, 44]]) {
          const rows = gated ? 2 * N : N;
          const x = values(1, M * K, operand);
          const weight = values(2, rows * K, operand);
          const bias = values(3, rows);
          const residual = gated ? undefined : values(4, M * N);
          const y = output([M, N]);
          run((commands) =>
            matvecForward(
              commands,
              y,
              upload(x, [M, K], operand),
              upload(weight, [rows, K], operand),
              {
                bias: upload(bias, [rows]),
                residual: residual && upload(residual, [M, N]),
                gated,
              },
            )
          );
          const size = { M, N: rows, K, stride: rows };
          const products = reference.matmulForward(x, weight, residual, size, bias);
          // As without a bias; a gate times an up has the error of each times the size of the other.
          const absolute = Math.max(K, 8) * 2 ** -24 * (gated ? 2 * Math.sqrt(K) : 1);
          assertClose(await read(y), gated ? swigluForward(products, M, N) : products, {
            absolute,
            relative: 2 * EPSILON.f32,
            name: `y of (${M}, ${N}, ${K})`,
          });
        }
      }));
  }
}

for (const operand of operandTypes) {
  for (const gated of [false, true]) {
    const name = `matvec_forward after rmsnorm${gated ? " and before swiglu" : ""}, ${operand}`;
    Deno.test(`${name} equals the reference`, () =>
      forEachVariant("matvec", async () => {
        for (const [M, width, K] of shapes) {
          const N = gated ? paddedColumns(width) : width;
          const [stride, rows, eps] = [paddedColumns(N), gated ? 2 * N : N, 1e-2];
          const x = values(1, M * K, "f32", 3);
          const weight = values(2, rows * K, operand);
          const gain = values(3, K);
          const y = output([M, stride], operand);
          run((commands) =>
            matvecForward(
              commands,
              y,
              upload(x, [M, K]),
              upload(weight, [rows, K], operand),
              { norm: { gain: upload(gain, [K]), eps }, gated },
            )
          );
          const h = rmsnormForward(x, gain, M, K, eps).y;
          const size = { M, N: rows, K, stride: gated ? rows : stride };
          const products = reference.matmulForward(h, weight, undefined, size);
          // Normalized rows have unit mean square, so sums are no larger than of uniform numbers; a gate times an up has the
          // error of each times the size of the other, which sqrt(K) bounds.
          const absolute = Math.max(K, 8) * 2 ** -23 * (gated ? 2 * Math.sqrt(K) : 1);
          assertClose(await read(y), gated ? swigluForward(products, M, N) : products, {
            absolute,
            relative: 2 * EPSILON[operand],
            name: `y of (${M}, ${N}, ${K})`,
          });
        }
      }));
  }
}

for (const operand of operandTypes) {
  for (const gated of [false, true]) {
    const name = gated ? "with its neighbours fused" : "of matvec_forward";
    // As decoding does: fused, rows of the residual stream, which are f32.
    const lhs = gated ? "f32" : operand;
    Deno.test(`a row ${name} has the same bits alone and in a batch of any size, ${operand}`, () =>
      forEachVariant("matvec", async () => {
        const [N, K] = [68, 572];
        const x = values(4, 21 * K, lhs);
        const weight = upload(values(5, 2 * N * K, operand), [2 * N, K], operand);
        const norm = { gain: upload(values(6, K), [K]), eps: 1e-5 };
        const width = gated ? N : 2 * N;
        const rows = async (first: number, count: number) => {
          const y = output([count, width]);
          const part = upload(x.slice(first * K, (first + count) * K), [count, K], lhs);
          const fused = gated ? { norm, gated } : {};
          run((commands) => matvecForward(commands, y, part, weight, fused));
          return await read(y);
        };
        const whole = await rows(0, 21);
        for (const count of [1, 2, 3, 4, 8, 9]) {
          const expected = whole.slice(5 * width, (5 + count) * width);
          assert.deepEqual(await rows(5, count), expected, `${count} rows`);
        }
      }));
  }
}

Deno.test("rows fused with their neighbours have the same bits on a device with WebGPU's least limits", async () => {
  using least = await openLeastGpu();
  assert.equal(least.device.limits.maxComputeWorkgroupStorageSize, 16384);
  const [M, N, K] = [9, 68, 572];
  const product = async (device: Gpu) => {
    const tensor = (name: string, shape: number[], seed: number) => {
      const created = createTensor(device, name, "f32", shape);
      writeTensor(device, created, values(seed, elementCount(shape)));
      return created;
    };
    const y = createTensor(device, "y", "f32", [M, N]);
    const norm = { gain: tensor("gain", [K], 8), eps: 1e-5 };
    const commands = new Commands(device);
    const [x, weight] = [tensor("x", [M, K], 9), tensor("weight", [2 * N, K], 10)];
    matvecForward(commands, y, x, weight, { norm, gated: true });
    commands.submit();
    return await readTensor(device, y);
  };
  await forEachVariant("matvec", async (choice) => {
    if (choice === "lanes") return; // it has no workgroup memory, and the device no subgroups
    prefer(least, "matvec", choice);
    assert.deepEqual(await product(least), await product(gpu));
  });
});

Deno.test("matvec_forward refuses shapes that disagree", () => {
  const x = upload(values(6, 8), [2, 4]);
  const weight = upload(values(7, 12), [3, 4]);
  const record = (y: number[]) => () =>
    run((commands) => matvecForward(commands, output(y), x, weight));
  assert.throws(record([2, 3]), /^RangeError: matvec_forward: expected y of shape \(2, 4\)/);
  assert.throws(record([1, 4]), RangeError);
  const bias = upload(values(8, 3), [3]);
  assert.throws(
    () => run((commands) => matvecForward(commands, output([2, 4]), x, weight, { bias })),
    /^RangeError: matvec_forward: expected columns with a bias .* multiple of 4/,
  );
});
