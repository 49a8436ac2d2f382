// This module is browser compatible.
import forwardCode from "../../shaders/matmul_forward.wgsl" with { type: "text" };
import backwardInputCode from "../../shaders/matmul_backward_input.wgsl" with { type: "text" };
import backwardWeightCode from "../../shaders/matmul_backward_weight.wgsl" with { type: "text" };
import forwardLanesCode from "../../shaders/matmul_forward_lanes.wgsl" with { type: "text" };
import backwardInputLanesCode from "../../shaders/matmul_backward_input_lanes.wgsl" with {
  type: "text",
};
import gatedLanesCode from "../../shaders/matmul_gated_lanes.wgsl" with { type: "text" };
import backwardWeightLanesCode from "../../shaders/matmul_backward_weight_lanes.wgsl" with {
  type: "text",
};
import addPartsCode from "../../shaders/matmul_add_parts.wgsl" with { type: "text" };
import laneBroadcastCode from "../../shaders/lane_broadcast.wgsl" with { type: "text" };
import laneOperandsCode from "../../shaders/lane_operands.wgsl" with { type: "text" };
import laneProductCode from "../../shaders/lane_product.wgsl" with { type: "text" };
import tileCode from "../../shaders/tile_product.wgsl" with { type: "text" };
import type { Commands, Dispatch } from "../gpu/commands.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Kernel, Variant } from "../gpu/kernel.ts";
import { label, type Tensor } from "../gpu/tensor.ts";
import { fitsTexture } from "../gpu/texture.ts";
import {
  expectDtype,
  expectMultiple,
  expectShape,
  grid,
  type Operand,
  operandType,
} from "./shapes.ts";
import { swigluForward } from "./swiglu.ts";
import { tuned } from "./tuning.ts";

const params = { M: "u32", N: "u32", K: "u32", stride: "u32" } as const;

const forwardKernel: Kernel = {
  name: "matmul_forward",
  code: forwardCode + tileCode,
  params,
  reads: ["input", "weight", "bias", "residual"],
  writes: ["output"],
};
const backwardInputKernel: Kernel = {
  name: "matmul_backward_input",
  code: backwardInputCode + tileCode,
  params: { ...params, part: "u32" },
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

const addPartsKernel: Kernel = {
  name: "matmul_add_parts",
  code: addPartsCode,
  params: { P: "u32", L4: "u32" },
  reads: ["parts"],
  writes: ["dx"],
};
const ADD_THREADS = 256;
/** Rows of a subgroup: ITEMS of lane_product.wgsl. */
const LANE_ROWS = 24;
/** Steps that a tile takes at a time: DEPTH of tile_product.wgsl. */
const TILE_STEPS = 16;

/** The same product for a software adapter, with both operands in textures. */
function byLanes(kernel: Kernel, code: string): Kernel {
  const [left, right] = kernel.reads;
  return {
    ...kernel,
    name: `${kernel.name}_lanes`,
    code: code + laneProductCode + laneBroadcastCode,
    params,
    textures: [left, right],
    subgroups: true,
  };
}
const forwardLanes: Kernel = {
  ...byLanes(forwardKernel, forwardLanesCode + laneOperandsCode),
  params: { ...params, biased: "u32", adds: "u32" },
};
const backwardInputLanes = byLanes(backwardInputKernel, backwardInputLanesCode);
const backwardWeightLanes = byLanes(backwardWeightKernel, backwardWeightLanesCode);

const gatedLanes: Kernel = {
  ...forwardLanes,
  name: "matmul_gated_lanes",
  code: gatedLanesCode + laneOperandsCode + laneProductCode + laneBroadcastCode,
  params: { M: "u32", F: "u32", K: "u32", biased: "u32", keep: "u32" },
  reads: ["input", "weight", "bias"],
  writes: ["gate_up", "a"],
};

interface ProductDispatch extends Pick<Dispatch, "params" | "tensors"> {
  types: { lhs: Operand; rhs: Operand; result?: Operand };
  /** Of tiles: lanes have parameters in their place. */
  overrides?: Variant["overrides"];
}

/** A product of two operands with a result of so many rows and columns, perhaps in parts, done as the tuning table says. */
function dispatchProduct(
  commands: Commands,
  { tiles, lanes, turned = false }: { tiles: Kernel; lanes: Kernel | null; turned?: boolean },
  [rows, columns]: [number, number],
  { types, overrides, params, tensors }: ProductDispatch,
  parts = 1,
): void {
  const { gpu } = commands;
  const [left, right] = tensors;
  const choice = tuned(gpu, "product", { rows, columns });
  const fits = parts === 1 && fitsTexture(gpu, left) && fitsTexture(gpu, right);
  if (choice === "lanes" && lanes && fits) {
    const LANES = gpu.info.lanes;
    commands.dispatch(lanes, {
      // A texel is f32 whatever the operands are.
      variant: {
        types: types.result && { result: types.result },
        constants: { LANES, TURNED: turned ? 1 : 0 },
      },
      params,
      tensors,
      workgroups: [Math.ceil(columns / 8 / LANES), Math.ceil(rows / LANE_ROWS)],
    });
  } else {
    const { TILE } = choice === "lanes" ? { TILE: 64 } : choice;
    commands.dispatch(tiles, {
      variant: { overrides, types, constants: { TILE } },
      params,
      tensors,
      workgroups: [Math.ceil(columns / TILE), Math.ceil(rows / TILE), parts],
    });
  }
}

/** The row length of a tensor with `N` columns: the next multiple of 4, for GEMMs move four elements at a time. */
export function paddedColumns(N: number): number {
  return Math.ceil(N / 4) * 4;
}

/**
 * A linear layer: y = x weight^T, plus `bias` and `residual` where given.
 *
 * @param y Result, f32 or f16 (M, paddedColumns(N)); the padding is set to 0.
 * @param x Activations, f32 or f16 (M, K); K a multiple of 4.
 * @param weight Weights as checkpoints store them, f32 or f16 (N, K).
 * @param bias Added to each row, f32 (N), N a multiple of 4.
 * @param residual Added to the product, f32, of y's shape; must not share its storage.
 * @throws {RangeError} If the shapes disagree.
 */
export function matmulForward(
  commands: Commands,
  y: Tensor,
  x: Tensor,
  weight: Tensor,
  { bias, residual }: { bias?: Tensor; residual?: Tensor } = {},
): void {
  const [M, K] = x.shape;
  const [N] = weight.shape;
  const stride = paddedColumns(N);
  checkWidths("matmul_forward", x, K);
  expectShape("matmul_forward", "weight", weight, [N, K]);
  expectShape("matmul_forward", "y", y, [M, stride]);
  if (bias) checkBias("matmul_forward", bias, N);
  if (residual) {
    expectShape("matmul_forward", "residual", residual, [M, stride]);
    expectDtype("matmul_forward", "residual", residual, "f32");
  }
  // Lanes store the product before they add to it, so at f16 it would be rounded twice.
  const isRoundedTwice = residual !== undefined && y.dtype === "f16";
  const kernels = { tiles: forwardKernel, lanes: isRoundedTwice ? null : forwardLanes };
  const [biased, adds] = [bias ? 1 : 0, residual ? 1 : 0];
  dispatchProduct(commands, kernels, [M, stride], {
    types: {
      lhs: operandType("matmul_forward", x),
      rhs: operandType("matmul_forward", weight),
      result: operandType("matmul_forward", y),
    },
    overrides: { BIAS: biased, RESIDUAL: adds },
    params: { M, N, K, stride, biased, adds },
    tensors: [x, weight, bias ?? x, residual ?? x, y],
  });
}

/**
 * A linear layer to gates and ups, and the gated activation behind it: {@link matmulForward}, then swigluForward, with their
 * bits at f32.
 *
 * @param a silu(gate) * up, f32 or f16 (M, F).
 * @param gateUp The layer's result, of a's type (M, 2F), a row holds gate, then up; F a multiple of 4.
 * @param x Activations, f32 or f16 (M, K); K a multiple of 4.
 * @param weight f32 or f16 (2F, K).
 * @param bias f32 (2F), where there is one.
 * @param keep Whether gateUp is needed afterwards; otherwise its content is undefined.
 * @throws {RangeError} If the shapes disagree.
 */
export function matmulGated(
  commands: Commands,
  a: Tensor,
  gateUp: Tensor,
  x: Tensor,
  weight: Tensor,
  { bias, keep }: { bias?: Tensor; keep: boolean },
): void {
  const { gpu } = commands;
  const [M, F] = a.shape;
  const [, K] = x.shape;
  const choice = tuned(gpu, "product", { rows: M, columns: 2 * F });
  if (choice !== "lanes" || !fitsTexture(gpu, x) || !fitsTexture(gpu, weight)) {
    matmulForward(commands, gateUp, x, weight, { bias });
    swigluForward(commands, a, gateUp);
    return;
  }
  const { name } = gatedLanes;
  checkWidths(name, x, K);
  expectMultiple(name, "F", F, 4);
  expectShape(name, "weight", weight, [2 * F, K]);
  expectShape(name, "x", x, [M, K]);
  expectShape(name, "gate_up", gateUp, [M, 2 * F]);
  expectDtype(name, "gate_up", gateUp, a.dtype);
  if (bias) checkBias(name, bias, 2 * F);
  const LANES = gpu.info.lanes;
  commands.dispatch(gatedLanes, {
    variant: {
      types: { result: operandType(name, a) },
      constants: { LANES, TURNED: 0 },
    },
    params: { M, F, K, biased: bias ? 1 : 0, keep: keep ? 1 : 0 },
    tensors: [x, weight, bias ?? x, gateUp, a],
    workgroups: [Math.ceil(F / 4 / LANES), Math.ceil(M / LANE_ROWS)],
  });
}

/**
 * Gradient of {@link matmulForward} with respect to x: dx = dy weight.
 *
 * @param dx Result, f32 or f16 (M, K).
 * @param dy Upstream gradient, f32 or f16 (M, paddedColumns(N)), its padding finite.
 * @param weight f32 or f16 (N, K).
 * @param parts Scratch for sums that are cut into {@link sumParts}, f32 (parts, M, K).
 * @throws {RangeError} If the shapes disagree.
 */
export function matmulBackwardInput(
  commands: Commands,
  dx: Tensor,
  dy: Tensor,
  weight: Tensor,
  parts?: Tensor,
): void {
  const [M, K] = dx.shape;
  const [N] = weight.shape;
  const stride = paddedColumns(N);
  checkWidths("matmul_backward_input", dx, K);
  expectShape("matmul_backward_input", "weight", weight, [N, K]);
  expectShape("matmul_backward_input", "dy", dy, [M, stride]);
  const P = parts?.shape[0] ?? 1;
  if (parts) expectShape("matmul_backward_input", "parts", parts, [P, M, K]);
  const kernels = { tiles: backwardInputKernel, lanes: backwardInputLanes };
  const result = operandType("matmul_backward_input", dx);
  dispatchProduct(
    commands,
    kernels,
    [M, K],
    {
      types: {
        lhs: operandType("matmul_backward_input", dy),
        rhs: operandType("matmul_backward_input", weight),
        result: parts ? "f32" : result,
      },
      params: { M, N, K, stride, part: Math.ceil(N / P / TILE_STEPS) * TILE_STEPS },
      tensors: [dy, weight, parts ?? dx],
    },
    P,
  );
  if (!parts) return;
  commands.dispatch(addPartsKernel, {
    variant: { overrides: { WORKGROUP: ADD_THREADS }, types: { result } },
    params: { P, L4: M * K / 4 },
    tensors: [parts, dx],
    workgroups: grid(Math.ceil(M * K / 4 / ADD_THREADS)),
  });
}

/** Parts that a device should cut sums over N into, in {@link matmulBackwardInput}; 1: none. */
export function sumParts(gpu: Gpu, N: number): number {
  return tuned(gpu, "sumParts", { steps: N });
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
  const kernels = { tiles: backwardWeightKernel, lanes: backwardWeightLanes, turned: true };
  dispatchProduct(commands, kernels, [N, K], {
    types: {
      lhs: operandType("matmul_backward_weight", dy),
      rhs: operandType("matmul_backward_weight", x),
    },
    params: { M, N, K, stride },
    tensors: [dy, x, dweight],
  });
}

/** Also for matvec_forward: kernels add it four columns at a time. */
export function checkBias(kernel: string, bias: Tensor, N: number): void {
  expectMultiple(kernel, "columns with a bias", N, 4);
  expectShape(kernel, "bias", bias, [N]);
  expectDtype(kernel, "bias", bias, "f32");
}

function checkWidths(kernel: string, tensor: Tensor, K: number): void {
  if (K % 4 !== 0) {
    throw new RangeError(`${kernel}: expected a multiple of 4 columns, found ${label(tensor)}`);
  }
}
