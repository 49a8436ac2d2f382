// This module is browser compatible.
import laneBroadcastCode from "../../shaders/lane_broadcast.wgsl" with { type: "text" };
import laneRowCode from "../../shaders/lane_row.wgsl" with { type: "text" };
import laneRowsCode from "../../shaders/lane_rows.wgsl" with { type: "text" };
import code from "../../shaders/matvec_forward.wgsl" with { type: "text" };
import lanesCode from "../../shaders/matvec_forward_lanes.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { fitsTexture } from "../gpu/texture.ts";
import { checkBias, paddedColumns } from "./matmul.ts";
import { expectDtype, expectMultiple, expectShape, grid, operandType } from "./shapes.ts";
import { tuned } from "./tuning.ts";

const kernel: Kernel = {
  name: "matvec_forward",
  code,
  params: { M: "u32", N: "u32", K: "u32", stride: "u32", eps: "f32" },
  reads: ["input", "weight", "bias", "extra"],
  writes: ["output"],
};

/** The same for a software adapter. */
const lanesKernel: Kernel = {
  ...kernel,
  name: "matvec_forward_lanes",
  code: lanesCode + laneBroadcastCode,
  reads: ["input", "weight", "gain", "bias", "residual"],
  textures: ["weight", "gain"],
  subgroups: true,
};

/** Threads of a workgroup. */
const THREADS = 64;

/** What stands before or behind a linear layer in a decoder layer, done on the way. */
export interface Fused {
  /** Normalizes the rows first, as rmsnormForward: f32 (K). */
  norm?: { gain: Tensor; eps: number };
  /** The weight holds N gates, then N ups, N a multiple of 4; the result is silu(gate) * up, as swigluForward's. */
  gated?: boolean;
  /** Added to the product, f32 (N), or (2N) if gated; N a multiple of 4. */
  bias?: Tensor;
  /** Added to the result, f32, of its shape; must not share its storage. Not together with norm. */
  residual?: Tensor;
}

/**
 * What matmulForward computes, for a few rows: decoding. A row has the same bits whatever the others are and however many,
 * but not those of matmulForward, whose sums have another order.
 *
 * @param y Result, f32 or f16 (M, paddedColumns(N)); the padding is set to 0.
 * @param x Activations, f32 or f16 (M, K); K a multiple of 4.
 * @param weight Weights as checkpoints store them, f32 or f16 (N, K), or (2N, K) if gated.
 * @throws {RangeError} If the shapes disagree.
 */
export function matvecForward(
  commands: Commands,
  y: Tensor,
  x: Tensor,
  weight: Tensor,
  { norm, gated = false, bias, residual }: Fused = {},
): void {
  const { gpu } = commands;
  const [M, K] = x.shape;
  const MATRICES = gated ? 2 : 1;
  const N = weight.shape[0] / MATRICES;
  const stride = paddedColumns(N);
  expectMultiple(kernel.name, "K", K, 4);
  expectMultiple(kernel.name, "gates and ups", gated ? N : 0, 4);
  expectShape(kernel.name, "weight", weight, [MATRICES * N, K]);
  expectShape(kernel.name, "y", y, [M, stride]);
  if (bias) checkBias(kernel.name, bias, MATRICES * N);
  if (residual) expectShape(kernel.name, "residual", residual, [M, stride]);
  if (norm) expectShape(kernel.name, "gain", norm.gain, [K]);
  if (norm && residual) {
    throw new RangeError(`${kernel.name}: expected norm or residual, found both`);
  }
  const extra = residual ?? norm?.gain;
  if (extra) expectDtype(kernel.name, "extra", extra, "f32");
  const choice = tuned(gpu, "matvec");
  const variant = {
    overrides: { NORM: norm ? 1 : 0, BIAS: bias ? 1 : 0, RESIDUAL: residual ? 1 : 0 },
    types: {
      lhs: operandType(kernel.name, x),
      rhs: operandType(kernel.name, weight),
      result: operandType(kernel.name, y),
    },
  };
  const params = { M, N, K, stride, eps: norm?.eps ?? 0 };
  if (choice === "lanes" && fitsTexture(gpu, weight)) {
    const LANES = gpu.info.lanes;
    // A row alone: 1.3 to 1.8 times as fast as among four that are not there (SmolLM-135M's products, Mesa 22.3, 2026-11-27).
    const ROWS = M > 4 ? 8 : M > 1 ? 4 : 1;
    commands.dispatch(lanesKernel, {
      variant: {
        ...variant,
        constants: { ROWS, LANES, MATRICES },
        // Apart: a pipeline of both takes 21 ms to make, of either 12.5 (Mesa 22.3, 2026-11-27); a default train makes up to nine.
        part: ROWS === 1
          ? { name: "lane_row", code: laneRowCode }
          : { name: "lane_rows", code: laneRowsCode },
      },
      params,
      tensors: [x, weight, norm?.gain ?? weight, bias ?? x, residual ?? x, y],
      workgroups: [...grid(Math.ceil(stride / 4 / LANES)), Math.ceil(M / ROWS)],
    });
    return;
  }
  const { LANES } = choice === "lanes" ? { LANES: 8 } : choice;
  const GROUPS = THREADS / LANES;
  const SQUARES = (rows: number) => norm ? Math.ceil(rows / 4) : 0;
  const sumBytes = (rows: number) => 16 * (rows * MATRICES + SQUARES(rows));
  const fits = (rows: number) =>
    (THREADS + 4 * GROUPS) * sumBytes(rows) <= gpu.device.limits.maxComputeWorkgroupStorageSize;
  const ROWS = M > 4 && fits(8) ? 8 : M > 2 ? 4 : M > 1 ? 2 : 1;
  commands.dispatch(kernel, {
    variant: {
      ...variant,
      constants: { ROWS, LANES, GROUPS, MATRICES, SQUARES: SQUARES(ROWS) },
    },
    params,
    tensors: [x, weight, bias ?? x, extra ?? x, y],
    workgroups: [...grid(Math.ceil(stride / 4 / GROUPS)), Math.ceil(M / ROWS)],
  });
}
