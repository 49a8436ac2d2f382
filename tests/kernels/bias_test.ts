import assert from "node:assert/strict";
import { biasBackward } from "../../src/kernels/bias.ts";
import * as reference from "../reference/bias.ts";
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

// One element, a workgroup's 32 columns and 32 rows, and just below and over both.
const shapes = [[1, 4], [31, 28], [32, 32], [33, 36], [200, 260]];

for (const operand of operandTypes) {
  Deno.test(`bias_backward equals the reference and accumulates, ${operand}`, async () => {
    for (const [M, N] of shapes) {
      const dy = values(1, M * N, operand);
      const before = values(2, N);
      const dbias = output([N]);
      const [start, upstream] = [upload(before, [N]), upload(dy, [M, N], operand)];
      run((commands) => {
        commands.copy(dbias, start);
        biasBackward(commands, dbias, upstream);
      });
      const expected = reference.biasBackward(dy, M, N).map((sum, n) => sum + before[n]);
      // Partial sums of M numbers below 1 are rounded M / 32 + 5 times.
      const absolute = (M / 32 + 5) * Math.sqrt(M) * 2 ** -24;
      assertClose(await read(dbias), expected, { absolute, relative: EPSILON.f32 });
    }
  });
}

Deno.test("bias_backward refuses shapes that disagree", () => {
  const dy = upload(values(1, 12), [2, 6]);
  assert.throws(
    () => run((commands) => biasBackward(commands, output([6]), dy)),
    /^RangeError: bias_backward: expected columns with a bias .* multiple of 4/,
  );
  assert.throws(
    () => run((commands) => biasBackward(commands, output([4]), upload(values(2, 16), [2, 8]))),
    /^RangeError: bias_backward: expected bias of shape \(8\)/,
  );
});
