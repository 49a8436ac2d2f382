// This module is browser compatible.
import code from "../../shaders/matvec_forward.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { paddedColumns } from "./matmul.ts";
import { expectMultiple, expectShape, operandType } from "./shapes.ts";

const kernel: Kernel = {
  name: "matvec_forward",
  code,
  params: { M: "u32", N: "u32", K: "u32", stride: "u32" },
  reads: ["input", "weight", "residual"],
  writes: ["output"],
};

const WORKGROUP = 64;

/**
 * What matmulForward computes, for a few rows: decoding. A row has the same bits whatever the others are and however many,
 * but not those of matmulForward, whose sums have another order.
 *
 * @param y Result, f32 or f16 (M, paddedColumns(N)); the padding is set to 0.
 * @param x Activations, f32 or f16 (M, K); K a multiple of 4.
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
  expectMultiple(kernel.name, "K", K, 4);
  expectShape(kernel.name, "weight", weight, [N, K]);
  expectShape(kernel.name, "y", y, [M, stride]);
  if (residual) expectShape(kernel.name, "residual", residual, [M, stride]);
  const ROWS = M > 4 ? 8 : M > 2 ? 4 : M > 1 ? 2 : 1;
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
      constants: { ROWS, LANES },
    },
    params: { M, N, K, stride },
    tensors: [x, weight, residual ?? x, y],
    workgroups: [Math.ceil(stride / 4 / (WORKGROUP / LANES)), Math.ceil(M / ROWS)],
  });
}
