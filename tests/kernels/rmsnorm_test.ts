import { rmsnormForward } from "../../src/kernels/rmsnorm.ts";
import * as reference from "../reference/rmsnorm.ts";
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

// C below, at and just over one pass of the workgroup's 64 threads with four channels each, and SmolLM's own.
const shapes = [[1, 4], [3, 52], [7, 256], [5, 260], [33, 576]];

for (const operand of operandTypes) {
  Deno.test(`rmsnorm_forward equals the reference, ${operand}`, async () => {
    for (const [N, C] of shapes) {
      const x = values(1, N * C);
      const weight = values(2, C);
      const y = output([N, C], operand);
      const rstd = output([N]);
      const eps = 1e-5;
      run((commands) =>
        rmsnormForward(commands, y, rstd, upload(x, [N, C]), upload(weight, [C]), eps)
      );
      const expected = reference.rmsnormForward(x, weight, N, C, eps);
      // The sum of C squares is rounded C / 64 times in a row and six times in the tree: well under 8 units.
      assertClose(await read(rstd), expected.rstd, { absolute: 0, relative: 4 * EPSILON.f32 });
      assertClose(await read(y), expected.y, { absolute: 1e-7, relative: 4 * EPSILON[operand] });
    }
  });
}
