// This module is browser compatible.
import code from "../../shaders/matvec_forward.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { paddedColumns } from "./matmul.ts";
import { expectMultiple, expectShape, grid, operandType } from "./shapes.ts";

const kernel: Kernel = {
  name: "matvec_forward",
  code,
  params: { N: "u32", K: "u32", stride: "u32" },
  reads: ["input", "weight", "residual"],
  writes: ["output"],
};

/** Rows that {@link matvecForward} takes at most. */
export const MATVEC_ROWS = 8;

const WORKGROUP = 64;

/**
 * What matmulForward computes, for few rows: decoding. The order of its sums is another one, so the last digits differ.
 *
 * @param y Result, f32 or f16 (M, paddedColumns(N)); the padding is set to 0.
 * @param x Activations, f32 or f16 (M, K); M at most {@link MATVEC_ROWS}, K a multiple of 4.
 * @param weight Weights as checkpoints store them, f32 or f16 (N, K).
 * @param residual Added to the product, f32, of y's shape; must not share y's storage.
 * @throws {RangeError} If the shapes disagree.
 */
export function matvecForward(
  commands: Commands,
  y: Tensor,
  x: Tensor,
  weight: Tensor,
  residual?: Tensor,
): void {
  const [M, K] = x.shape;
  const [N] = weight.shape;
  const stride = paddedColumns(N);
  if (M > MATVEC_ROWS) {
    throw new RangeError(`${kernel.name}: expected at most ${MATVEC_ROWS} rows, found ${M}`);
  }
  expectMultiple(kernel.name, "K", K, 4);
  expectShape(kernel.name, "weight", weight, [N, K]);
  expectShape(kernel.name, "y", y, [M, stride]);
  if (residual) expectShape(kernel.name, "residual", residual, [M, stride]);
  // A GPU's neighbouring threads should read neighbouring weights; a CPU pays for each thread.
  const LANES = commands.gpu.info.software ? 8 : 32;
  commands.dispatch(kernel, {
    variant: {
      overrides: { WORKGROUP, RESIDUAL: residual ? 1 : 0 },
      types: {
        lhs: operandType(kernel.name, x),
        rhs: operandType(kernel.name, weight),
        result: operandType(kernel.name, y),
      },
      constants: { ROWS: M, LANES },
    },
    params: { N, K, stride },
    tensors: [x, weight, residual ?? x, y],
    workgroups: M === 0 ? [0] : grid(Math.ceil(stride / 4 / (WORKGROUP / LANES))),
  });
}
