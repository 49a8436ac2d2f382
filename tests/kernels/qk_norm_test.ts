import assert from "node:assert/strict";
import { qkNormBackward, qkNormBackwardWeight, qkNormForward } from "../../src/kernels/qk_norm.ts";
import { type Heads, rowElements } from "../../src/kernels/heads.ts";
import * as reference from "../reference/qk_norm.ts";
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

const heads = (numHeads: number, numKvHeads: number, headSize: number): Heads => ({
  numHeads,
  numKvHeads,
  headSize,
});

// Rows and heads: the least, uneven ones, and Qwen3-0.6B's; over the 32 threads that share a column of the gains.
const shapes: [number, Heads][] = [
  [1, heads(1, 1, 8)],
  [3, heads(6, 2, 24)],
  [7, heads(3, 3, 72)],
  [5, heads(16, 8, 128)],
  [37, heads(2, 1, 16)],
];

for (const operand of operandTypes) {
  Deno.test(`qk_norm_forward equals the reference, ${operand}`, () =>
    forEachVariant("rmsnorm", async () => {
      for (const [N, all] of shapes) {
        const row = rowElements(all);
        const x = values(1, N * row, operand);
        const weight = values(2, 2 * all.headSize);
        const qkv = output([N, row], operand);
        const rstd = output([N, all.numHeads + all.numKvHeads]);
        const [projected, gains] = [upload(x, [N, row], operand), upload(weight, [weight.length])];
        run((commands) => qkNormForward(commands, qkv, rstd, projected, gains, all, 1e-2));
        const expected = reference.qkNormForward(x, weight, N, all, 1e-2);
        // As for rmsnorm_forward.
        assertClose(await read(rstd), expected.rstd, { absolute: 0, relative: 4 * EPSILON.f32 });
        assertClose(await read(qkv), expected.qkv, {
          absolute: 1e-7,
          relative: 4 * EPSILON[operand],
        });
      }
    }));

  Deno.test(`qk_norm_backward and _weight equal the reference, ${operand}`, () =>
    forEachVariant("rmsnorm", async () => {
      for (const [N, all] of shapes) {
        const row = rowElements(all);
        const count = all.numHeads + all.numKvHeads;
        const x = values(1, N * row, operand);
        const weight = values(2, 2 * all.headSize);
        const dy = values(3, N * row, operand);
        const before = values(4, weight.length);
        const rstd = Float32Array.from(reference.qkNormForward(x, weight, N, all, 1e-2).rstd);
        const dqkv = output([N, row], operand);
        const dweight = output([weight.length]);
        const [start, upstream] = [upload(before, [weight.length]), upload(dy, [N, row], operand)];
        const [projected, gains] = [upload(x, [N, row], operand), upload(weight, [weight.length])];
        const scales = upload(rstd, [N, count]);
        run((commands) => {
          commands.copy(dqkv, upstream);
          commands.copy(dweight, start);
          qkNormBackwardWeight(commands, dweight, dqkv, projected, scales, all);
          qkNormBackward(commands, dqkv, projected, gains, scales, all);
        });
        const expected = reference.qkNormBackward(dy, x, weight, rstd, N, all);
        // As for rmsnorm_backward; in f16, results are rounded once more.
        assertClose(await read(dqkv), expected.dx, {
          absolute: 4e-6 + EPSILON[operand],
          relative: 8 * EPSILON[operand],
          name: "dqkv",
        });
        assertClose(await read(dweight), expected.dweight.map((value, i) => value + before[i]), {
          absolute: 1e-5,
          relative: 8 * EPSILON.f32,
          name: "dweight",
        });
      }
    }));
}

Deno.test("qk_norm refuses shapes that disagree", () => {
  const all = heads(2, 1, 8);
  const rows = upload(values(1, 64), [2, 32]);
  const record = (rstd: number[], weight: number[]) => () =>
    run((commands) =>
      qkNormForward(commands, output([2, 32]), output(rstd), rows, output(weight), all, 1e-6)
    );
  assert.throws(record([2, 4], [16]), /^RangeError: qk_norm_forward: expected rstd/);
  assert.throws(record([2, 3], [8]), /^RangeError: qk_norm_forward: expected weight/);
});
