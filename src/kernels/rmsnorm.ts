// This module is browser compatible.
import backwardCode from "../../shaders/rmsnorm_backward.wgsl" with { type: "text" };
import backwardWeightCode from "../../shaders/rmsnorm_backward_weight.wgsl" with { type: "text" };
import forwardCode from "../../shaders/rmsnorm_forward.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { expectShape, grid, operandType } from "./shapes.ts";
import { reducingThreads } from "./tuning.ts";

const forwardKernel: Kernel = {
  name: "rmsnorm_forward",
  code: forwardCode,
  params: { N: "u32", C: "u32", eps: "f32" },
  reads: ["x", "weight"],
  writes: ["y", "rstd"],
  reduces: "f32",
};
const backwardKernel: Kernel = {
  name: "rmsnorm_backward",
  code: backwardCode,
  params: { N: "u32", C: "u32" },
  reads: ["dy", "x", "weight", "rstd"],
  writes: ["dx"],
  reduces: "f32",
};
const backwardWeightKernel: Kernel = {
  name: "rmsnorm_backward_weight",
  code: backwardWeightCode,
  params: { N: "u32", C: "u32" },
  reads: ["dy", "x", "rstd"],
  writes: ["dweight"],
};
/** Channels that one workgroup of rmsnorm_backward_weight sums. */
const WEIGHT_COLUMNS = 32;

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
      overrides: { WORKGROUP: reducingThreads(commands.gpu, "rmsnorm") },
      types: { operand: operandType("rmsnorm_forward", y) },
    },
    params: { N, C, eps },
    tensors: [x, weight, y, rstd],
    workgroups: grid(N),
  });
}

/**
 * Gradient of {@link rmsnormForward} with respect to x, added to dx.
 *
 * @param dx Accumulated into, f32 (N, C).
 * @param dy Upstream gradient, f32 or f16 (N, C).
 * @throws {RangeError} If the shapes disagree.
 */
export function rmsnormBackward(
  commands: Commands,
  dx: Tensor,
  dy: Tensor,
  x: Tensor,
  weight: Tensor,
  rstd: Tensor,
): void {
  const [N, C] = x.shape;
  expectShape("rmsnorm_backward", "dx", dx, [N, C]);
  expectShape("rmsnorm_backward", "dy", dy, [N, C]);
  expectShape("rmsnorm_backward", "weight", weight, [C]);
  expectShape("rmsnorm_backward", "rstd", rstd, [N]);
  commands.dispatch(backwardKernel, {
    variant: {
      overrides: { WORKGROUP: reducingThreads(commands.gpu, "rmsnorm") },
      types: { operand: operandType("rmsnorm_backward", dy) },
    },
    params: { N, C },
    tensors: [dy, x, weight, rstd, dx],
    workgroups: grid(N),
  });
}

/**
 * Gradient of {@link rmsnormForward} with respect to the gain, added to dweight.
 *
 * @param dweight Accumulated into, f32 (C).
 * @param dy Upstream gradient, f32 or f16 (N, C).
 * @throws {RangeError} If the shapes disagree.
 */
export function rmsnormBackwardWeight(
  commands: Commands,
  dweight: Tensor,
  dy: Tensor,
  x: Tensor,
  rstd: Tensor,
): void {
  const [N, C] = x.shape;
  expectShape("rmsnorm_backward_weight", "dweight", dweight, [C]);
  expectShape("rmsnorm_backward_weight", "dy", dy, [N, C]);
  expectShape("rmsnorm_backward_weight", "rstd", rstd, [N]);
  commands.dispatch(backwardWeightKernel, {
    variant: { types: { operand: operandType("rmsnorm_backward_weight", dy) } },
    params: { N, C },
    tensors: [dy, x, rstd, dweight],
    workgroups: [Math.ceil(C / WEIGHT_COLUMNS)],
  });
}
