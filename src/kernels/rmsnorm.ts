// This module is browser compatible.
import forwardCode from "../../shaders/rmsnorm_forward.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { expectShape, operandType } from "./shapes.ts";

const forwardKernel: Kernel = {
  name: "rmsnorm_forward",
  code: forwardCode,
  params: { C: "u32", eps: "f32" },
  reads: ["x", "weight"],
  writes: ["y", "rstd"],
};

/**
 * Root-mean-square normalization of rows (Zhang & Sennrich 2019, arXiv:1910.07467).
 *
 * @param y Result, f32 or f16 (N, C).
 * @param rstd Reciprocal root mean squares, f32 (N), for {@link rmsnormBackward}.
 * @param x Activations, f32 (N, C); C a multiple of 4.
 * @param weight Gain, f32 (C).
 * @throws {RangeError} If the shapes disagree.
 */
export function rmsnormForward(
  commands: Commands,
  y: Tensor,
  rstd: Tensor,
  x: Tensor,
  weight: Tensor,
  eps: number,
): void {
  const [N, C] = x.shape;
  expectShape("rmsnorm_forward", "weight", weight, [C]);
  expectShape("rmsnorm_forward", "y", y, [N, C]);
  expectShape("rmsnorm_forward", "rstd", rstd, [N]);
  commands.dispatch(forwardKernel, {
    variant: {
      overrides: { WORKGROUP: 64 },
      types: { operand: operandType("rmsnorm_forward", y) },
    },
    params: { C, eps },
    tensors: [x, weight, y, rstd],
    workgroups: [N],
  });
}
