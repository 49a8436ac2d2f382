// This module is browser compatible.
import backwardCode from "../../shaders/qk_norm_backward.wgsl" with { type: "text" };
import backwardWeightCode from "../../shaders/qk_norm_backward_weight.wgsl" with {
  type: "text",
};
import forwardCode from "../../shaders/qk_norm_forward.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { expectHeads, type Heads, rowElements } from "./heads.ts";
import { expectDtype, expectShape, grid, operandType } from "./shapes.ts";
import { reducingThreads } from "./tuning.ts";

const params = { N: "u32", NH: "u32", NKV: "u32", HS: "u32" } as const;

const forwardKernel: Kernel = {
  name: "qk_norm_forward",
  code: forwardCode,
  params: { ...params, eps: "f32" },
  reads: ["x", "weight"],
  writes: ["y", "rstd"],
  reduces: "f32",
};
const backwardKernel: Kernel = {
  name: "qk_norm_backward",
  code: backwardCode,
  params,
  reads: ["x", "weight", "rstd"],
  writes: ["dqkv"],
  reduces: "f32",
};
const backwardWeightKernel: Kernel = {
  name: "qk_norm_backward_weight",
  code: backwardWeightCode,
  params,
  reads: ["dy", "x", "rstd"],
  writes: ["dweight"],
};
/** Elements of a head that one workgroup of qk_norm_backward_weight sums. */
const WEIGHT_COLUMNS = 32;

/**
 * Root-mean-square normalization of each query head and each key head (Henry et al. 2020, arXiv:2010.04245); value heads stay
 * as they are.
 *
 * @param qkv Result, f32 or f16 (N, (NH + 2 NKV) HS).
 * @param rstd Reciprocal root mean squares of query heads, then key heads, f32 (N, NH + NKV), for {@link qkNormBackward}.
 * @param projected Query, key and value heads, of qkv's type and shape.
 * @param weight Gain of query heads, then of key heads, f32 (2 HS).
 * @throws {RangeError} If shapes or dtypes disagree.
 */
export function qkNormForward(
  commands: Commands,
  qkv: Tensor,
  rstd: Tensor,
  projected: Tensor,
  weight: Tensor,
  heads: Heads,
  eps: number,
): void {
  const { name } = forwardKernel;
  const [N] = projected.shape;
  check(name, { qkv, projected }, rstd, weight, heads);
  expectDtype(name, "qkv", qkv, projected.dtype);
  commands.dispatch(forwardKernel, {
    variant: {
      overrides: { WORKGROUP: reducingThreads(commands.gpu, "rmsnorm") },
      types: { operand: operandType(name, projected) },
    },
    params: { ...sizes(N, heads), eps },
    tensors: [projected, weight, qkv, rstd],
    workgroups: grid(N * (heads.numHeads + 2 * heads.numKvHeads)),
  });
}

/**
 * Gradient of {@link qkNormForward} with respect to its input, in place.
 *
 * @param dqkv Gradient of the normalized heads, f32 or f16 (N, (NH + 2 NKV) HS); becomes that of the projected ones.
 * @param projected The forward pass's input, of dqkv's type.
 * @throws {RangeError} If shapes or dtypes disagree.
 */
export function qkNormBackward(
  commands: Commands,
  dqkv: Tensor,
  projected: Tensor,
  weight: Tensor,
  rstd: Tensor,
  heads: Heads,
): void {
  const { name } = backwardKernel;
  const [N] = projected.shape;
  check(name, { dqkv, projected }, rstd, weight, heads);
  expectDtype(name, "dqkv", dqkv, projected.dtype);
  commands.dispatch(backwardKernel, {
    variant: {
      overrides: { WORKGROUP: reducingThreads(commands.gpu, "rmsnorm") },
      types: { operand: operandType(name, projected) },
    },
    params: sizes(N, heads),
    tensors: [projected, weight, rstd, dqkv],
    workgroups: grid(N * (heads.numHeads + heads.numKvHeads)),
  });
}

/**
 * Gradient of {@link qkNormForward} with respect to both gains, added to dweight.
 *
 * @param dweight Accumulated into, f32 (2 HS).
 * @param dqkv Gradient of the normalized heads, as {@link qkNormBackward} finds it.
 * @throws {RangeError} If shapes or dtypes disagree.
 */
export function qkNormBackwardWeight(
  commands: Commands,
  dweight: Tensor,
  dqkv: Tensor,
  projected: Tensor,
  rstd: Tensor,
  heads: Heads,
): void {
  const { name } = backwardWeightKernel;
  const [N] = projected.shape;
  check(name, { dqkv, projected }, rstd, dweight, heads);
  expectDtype(name, "dqkv", dqkv, projected.dtype);
  commands.dispatch(backwardWeightKernel, {
    variant: { types: { operand: operandType(name, projected) } },
    params: sizes(N, heads),
    tensors: [dqkv, projected, rstd, dweight],
    workgroups: [Math.ceil(heads.headSize / WEIGHT_COLUMNS), 2],
  });
}

const sizes = (N: number, { numHeads, numKvHeads, headSize }: Heads) => ({
  N,
  NH: numHeads,
  NKV: numKvHeads,
  HS: headSize,
});

/** What all three have: rows of heads, a number per normalized head, and two gains or their gradients. */
function check(
  kernel: string,
  rows: Record<string, Tensor>,
  rstd: Tensor,
  weight: Tensor,
  heads: Heads,
): void {
  const [N] = rows.projected.shape;
  expectHeads(kernel, heads);
  for (const [name, tensor] of Object.entries(rows)) {
    expectShape(kernel, name, tensor, [N, rowElements(heads)]);
  }
  expectShape(kernel, "rstd", rstd, [N, heads.numHeads + heads.numKvHeads]);
  expectShape(kernel, "weight", weight, [2 * heads.headSize]);
}
