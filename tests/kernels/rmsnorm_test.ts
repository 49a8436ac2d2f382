import {
  rmsnormBackward,
  rmsnormBackwardWeight,
  rmsnormForward,
} from "../../src/kernels/rmsnorm.ts";
import * as reference from "../reference/rmsnorm.ts";
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

// C below, at and just over one pass of the workgroup's 64 threads with four channels each, and SmolLM's own.
const shapes = [[1, 4], [3, 52], [7, 256], [5, 260], [33, 576]];

for (const operand of operandTypes) {
  Deno.test(`rmsnorm_forward equals the reference, ${operand}`, () =>
    forEachVariant("rmsnorm", async () => {
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
    }));

  Deno.test(`rmsnorm_backward and _weight equal the reference and accumulate, ${operand}`, () =>
    forEachVariant("rmsnorm", async () => {
      for (const [N, C] of shapes) {
        const x = values(1, N * C);
        const weight = values(2, C);
        const dy = values(3, N * C, operand);
        const before = values(4, N * C);
        const { rstd } = reference.rmsnormForward(x, weight, N, C, 1e-5);
        const scales = Float32Array.from(rstd);
        const expected = reference.rmsnormBackward(dy, x, weight, scales, N, C);
        const dx = output([N, C]);
        const dweight = output([C]);
        const start = upload(before, [N, C]);
        const upstream = upload(dy, [N, C], operand);
        const input = upload(x, [N, C]);
        const reciprocal = upload(scales, [N]);
        run((commands) => {
          commands.copy(dx, start);
          commands.copy(dweight, start, { bytes: 4 * C });
          rmsnormBackward(commands, dx, upstream, input, upload(weight, [C]), reciprocal);
          rmsnormBackwardWeight(commands, dweight, upstream, input, reciprocal);
        });
        // rstd reaches 2 to 6 for the few channels of the smallest case, and multiplies every rounding twice.
        assertClose(
          await read(dx),
          expected.dx.map((value, i) => value + before[i]),
          { absolute: 4e-6, relative: 8 * EPSILON.f32, name: "dx" },
        );
        assertClose(
          await read(dweight),
          expected.dweight.map((value, i) => value + before[i]),
          { absolute: 4e-6, relative: 8 * EPSILON.f32, name: "dweight" },
        );
      }
    }));
}
