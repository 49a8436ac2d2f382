// This module is browser compatible.
import forwardCode from "../../shaders/matmul_forward.wgsl" with { type: "text" };
import backwardInputCode from "../../shaders/matmul_backward_input.wgsl" with { type: "text" };
import backwardWeightCode from "../../shaders/matmul_backward_weight.wgsl" with { type: "text" };
import tileCode from "../../shaders/tile_product.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import { label, type Tensor } from "../gpu/tensor.ts";
import { expectShape, operandType } from "./shapes.ts";

const params = { M: "u32", N: "u32", K: "u32", stride: "u32" } as const;

const forwardKernel: Kernel = {
  name: "matmul_forward",
  code: forwardCode + tileCode,
  params,
  reads: ["input", "weight", "residual"],
  writes: ["output"],
};
const backwardInputKernel: Kernel = {
  name: "matmul_backward_input",
  code: backwardInputCode + tileCode,
  params,
  reads: ["dy", "weight"],
  writes: ["dx"],
};
const backwardWeightKernel: Kernel = {
  name: "matmul_backward_weight",
  code: backwardWeightCode + tileCode,
  params,
  reads: ["dy", "input"],
  writes: ["dweight"],
};

/** Fewer large tiles than this, and small ones are faster on a GPU of 132 processors (tests/bench/LOG.md). */
const FEW_TILES = 320;

/** A result of so many rows and columns, cut into tiles of one workgroup each; how large they are changes no bit of it. */
function tiled({ gpu }: Commands, rows: number, columns: number) {
  const count = (tile: number) => [Math.ceil(columns / tile), Math.ceil(rows / tile)] as const;
  const [across, down] = count(64);
  // A CPU has few processors; but what it does for rows that are not there takes its time.
  const small = gpu.info.software ? rows <= 32 : across * down < FEW_TILES;
  const TILE = small ? 32 : 64;
  return { constants: { TILE }, workgroups: [...count(TILE)] as [number, number] };
}

/** The row length of a tensor with `N` columns: the next multiple of 4, for GEMMs move four elements at a time. */
export function paddedColumns(N: number): number {
  return Math.ceil(N / 4) * 4;
}

/**
 * A linear layer without bias: y = x weight^T, plus `residual` where given.
 *
 * @param y Result, f32 or f16 (M, paddedColumns(N)); the padding is set to 0.
 * @param x Activations, f32 or f16 (M, K); K a multiple of 4.
 * @param weight Weights as checkpoints store them, f32 or f16 (N, K).
 * @param residual Added to the product, f32, of y's shape; must not share y's storage.
 * @throws {RangeError} If the shapes disagree.
 */
export function matmulForward(
  commands: Commands,
  y: Tensor,
  x: Tensor,
  weight: Tensor,
  residual?: Tensor,
): void {
  const [M, K] = x.shape;
  const [N] = weight.shape;
  const stride = paddedColumns(N);
  checkWidths("matmul_forward", x, K);
  expectShape("matmul_forward", "weight", weight, [N, K]);
  expectShape("matmul_forward", "y", y, [M, stride]);
  if (residual) expectShape("matmul_forward", "residual", residual, [M, stride]);
  const { constants, workgroups } = tiled(commands, M, stride);
  commands.dispatch(forwardKernel, {
    variant: {
      constants,
      overrides: { RESIDUAL: residual ? 1 : 0 },
      types: {
        lhs: operandType("matmul_forward", x),
        rhs: operandType("matmul_forward", weight),
        result: operandType("matmul_forward", y),
      },
    },
    params: { M, N, K, stride },
    tensors: [x, weight, residual ?? x, y],
    workgroups,
  });
}

/**
 * Gradient of {@link matmulForward} with respect to x: dx = dy weight.
 *
 * @param dx Result, f32 or f16 (M, K).
 * @param dy Upstream gradient, f32 or f16 (M, paddedColumns(N)), its padding finite.
 * @param weight f32 or f16 (N, K).
 * @throws {RangeError} If the shapes disagree.
 */
export function matmulBackwardInput(
  commands: Commands,
  dx: Tensor,
  dy: Tensor,
  weight: Tensor,
): void {
  const [M, K] = dx.shape;
  const [N] = weight.shape;
  const stride = paddedColumns(N);
  checkWidths("matmul_backward_input", dx, K);
  expectShape("matmul_backward_input", "weight", weight, [N, K]);
  expectShape("matmul_backward_input", "dy", dy, [M, stride]);
  const { constants, workgroups } = tiled(commands, M, K);
  commands.dispatch(backwardInputKernel, {
    variant: {
      constants,
      types: {
        lhs: operandType("matmul_backward_input", dy),
        rhs: operandType("matmul_backward_input", weight),
        result: operandType("matmul_backward_input", dx),
      },
    },
    params: { M, N, K, stride },
    tensors: [dy, weight, dx],
    workgroups,
  });
}

/**
 * Gradient of {@link matmulForward} with respect to the weight: dweight += dy^T x.
 *
 * @param dweight Accumulated into, f32 (N, K).
 * @param dy Upstream gradient, f32 or f16 (M, paddedColumns(N)).
 * @param x The forward pass's input, f32 or f16 (M, K).
 * @throws {RangeError} If the shapes disagree.
 */
export function matmulBackwardWeight(
  commands: Commands,
  dweight: Tensor,
  dy: Tensor,
  x: Tensor,
): void {
  const [M, K] = x.shape;
  const [N] = dweight.shape;
  const stride = paddedColumns(N);
  checkWidths("matmul_backward_weight", x, K);
  expectShape("matmul_backward_weight", "dweight", dweight, [N, K]);
  expectShape("matmul_backward_weight", "dy", dy, [M, stride]);
  const { constants, workgroups } = tiled(commands, N, K);
  commands.dispatch(backwardWeightKernel, {
    variant: {
      constants,
      types: {
        lhs: operandType("matmul_backward_weight", dy),
        rhs: operandType("matmul_backward_weight", x),
      },
    },
    params: { M, N, K, stride },
    tensors: [dy, x, dweight],
    workgroups,
  });
}

function checkWidths(kernel: string, tensor: Tensor, K: number): void {
  if (K % 4 !== 0) {
    throw new RangeError(`${kernel}: expected a multiple of 4 columns, found ${label(tensor)}`);
  }
}
