// This module is browser compatible.
import backwardKeyCode from "../../shaders/attention_backward_key.wgsl" with { type: "text" };
import backwardQueryCode from "../../shaders/attention_backward_query.wgsl" with { type: "text" };
import forwardCode from "../../shaders/attention_forward.wgsl" with { type: "text" };
import backwardKeyLanesCode from "../../shaders/attention_backward_key_lanes.wgsl" with {
  type: "text",
};
import backwardQueryLanesCode from "../../shaders/attention_backward_query_lanes.wgsl" with {
  type: "text",
};
import forwardLanesCode from "../../shaders/attention_forward_lanes.wgsl" with { type: "text" };
import tileCode from "../../shaders/attention_tile.wgsl" with { type: "text" };
import laneBroadcastCode from "../../shaders/lane_broadcast.wgsl" with { type: "text" };
import laneHeadCode from "../../shaders/lane_head.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { fitsTexture } from "../gpu/texture.ts";
import { expectHeads, type Heads, rowElements } from "./heads.ts";
import { expectDtype, expectShape, grid, operandType } from "./shapes.ts";
import { tuned } from "./tuning.ts";

const params = { tiles: "u32", NH: "u32", NKV: "u32", scale: "f32" } as const;

const forwardKernel: Kernel = {
  name: "attention_forward",
  code: forwardCode + tileCode,
  params,
  reads: ["qkv", "query_tiles"],
  writes: ["out", "lse"],
};

const backwardQueryKernel: Kernel = {
  name: "attention_backward_query",
  code: backwardQueryCode + tileCode,
  params,
  reads: ["qkv", "out", "dout", "lse", "query_tiles"],
  writes: ["dqkv", "delta"],
};

const backwardKeyKernel: Kernel = {
  name: "attention_backward_key",
  code: backwardKeyCode + tileCode,
  params,
  reads: ["qkv", "dout", "lse", "delta", "key_tiles"],
  writes: ["dqkv"],
};

/** The same for a software adapter, with these inputs as textures. */
function byLanes(kernel: Kernel, code: string, textures: string[]): Kernel {
  const shared = laneHeadCode + laneBroadcastCode;
  return {
    ...kernel,
    name: `${kernel.name}_lanes`,
    code: code + shared,
    textures,
    subgroups: true,
  };
}
const forwardLanes = byLanes(forwardKernel, forwardLanesCode, ["qkv"]);
const backwardQueryLanes = byLanes(backwardQueryKernel, backwardQueryLanesCode, [
  "qkv",
  "out",
  "dout",
]);
const backwardKeyLanes = byLanes(backwardKeyKernel, backwardKeyLanesCode, [
  "qkv",
  "dout",
  "lse",
  "delta",
]);

/** Rows that a query tile or a key tile has at most. */
export const ATTENTION_TILE_ROWS = 32;

/**
 * Causal attention with grouped queries over packed trees, with a streaming softmax (Dao 2023, arXiv:2307.08691).
 *
 * `queryTiles`, u32 (n, 8), says which rows there are and what they see: a tile is `firstRow, rowCount, prefixBegin,
 * prefixEnd, branchBegin, diagonal, 0, 0`, and its row r sees the keys `[prefixBegin, prefixEnd)` and `[branchBegin,
 * diagonal + r]`. In training `diagonal` is `firstRow`. A tile has at most {@link ATTENTION_TILE_ROWS} rows, of one branch.
 *
 * @param out Result, f32 or f16 (N, NH HS).
 * @param lse Logarithm of the sum of exponentials, f32 (N, NH), for {@link attentionBackward}.
 * @param qkv Query, key and value heads, already rotated, same dtype as out (N, (NH + 2 NKV) HS).
 * @throws {RangeError} If shapes or dtypes disagree.
 */
export function attentionForward(
  commands: Commands,
  out: Tensor,
  lse: Tensor,
  qkv: Tensor,
  queryTiles: Tensor,
  heads: Heads,
): void {
  const kernel = forwardKernel.name;
  const [N] = qkv.shape;
  const { numHeads, headSize } = heads;
  expectHeads(kernel, heads);
  expectShape(kernel, "qkv", qkv, [N, rowElements(heads)]);
  expectShape(kernel, "out", out, [N, numHeads * headSize]);
  expectDtype(kernel, "out", out, qkv.dtype);
  expectShape(kernel, "lse", lse, [N, numHeads]);
  expectShape(kernel, "query_tiles", queryTiles, [queryTiles.shape[0], 8]);
  dispatchAttention(commands, { tiles: forwardKernel, lanes: forwardLanes }, qkv, heads, {
    tensors: [qkv, queryTiles, out, lse],
    tiles: queryTiles.shape[0],
    by: numHeads,
  });
}

/**
 * Gradient of {@link attentionForward}, without atomics: queries by query tiles, then keys and values by key tiles.
 *
 * `keyTiles`, u32 (n, 4), says which rows see a key: a tile is `firstRow, rowCount, queryEnd, 0`, and its key row k is
 * seen by the rows `[k, queryEnd)`: a prefix key by every later row of its tree, a branch key by those of its branch.
 *
 * @param dqkv Result, f32 or f16 (N, (NH + 2 NKV) HS).
 * @param delta Workspace, f32 (N, NH): becomes the dot product of dout and out per head.
 * @param dout Upstream gradient, same dtype (N, NH HS).
 * @param qkv The forward's input, same dtype.
 * @param out The forward's output, same dtype.
 * @param lse The forward's logarithms.
 * @throws {RangeError} If shapes or dtypes disagree.
 */
export function attentionBackward(
  commands: Commands,
  dqkv: Tensor,
  delta: Tensor,
  dout: Tensor,
  qkv: Tensor,
  out: Tensor,
  lse: Tensor,
  queryTiles: Tensor,
  keyTiles: Tensor,
  heads: Heads,
): void {
  const kernel = "attention_backward";
  const [N] = qkv.shape;
  const { numHeads, numKvHeads, headSize } = heads;
  expectHeads(kernel, heads);
  for (const [name, tensor] of Object.entries({ qkv, dqkv })) {
    expectShape(kernel, name, tensor, [N, rowElements(heads)]);
    expectDtype(kernel, name, tensor, qkv.dtype);
  }
  for (const [name, tensor] of Object.entries({ out, dout })) {
    expectShape(kernel, name, tensor, [N, numHeads * headSize]);
    expectDtype(kernel, name, tensor, qkv.dtype);
  }
  for (const [name, tensor] of Object.entries({ lse, delta })) {
    expectShape(kernel, name, tensor, [N, numHeads]);
  }
  expectShape(kernel, "query_tiles", queryTiles, [queryTiles.shape[0], 8]);
  expectShape(kernel, "key_tiles", keyTiles, [keyTiles.shape[0], 4]);
  const byQuery = { tiles: backwardQueryKernel, lanes: backwardQueryLanes };
  dispatchAttention(commands, byQuery, qkv, heads, {
    tensors: [qkv, out, dout, lse, queryTiles, dqkv, delta],
    tiles: queryTiles.shape[0],
    by: numHeads,
  });
  const byKey = { tiles: backwardKeyKernel, lanes: backwardKeyLanes };
  dispatchAttention(commands, byKey, qkv, heads, {
    tensors: [qkv, dout, lse, delta, keyTiles, dqkv],
    tiles: keyTiles.shape[0],
    by: numKvHeads,
  });
}

function dispatchAttention(
  commands: Commands,
  kernels: { tiles: Kernel; lanes: Kernel },
  qkv: Tensor,
  { numHeads, numKvHeads, headSize }: Heads,
  { tensors, tiles, by }: { tensors: Tensor[]; tiles: number; by: number },
): void {
  const { gpu } = commands;
  const choice = fitsTexture(gpu, qkv) ? tuned(gpu, "attention") : "tiles";
  const kernel = kernels[choice];
  const [x, z] = grid(tiles);
  commands.dispatch(kernel, {
    variant: {
      types: { operand: operandType(kernel.name, qkv) },
      constants: {
        HEAD_SIZE: headSize,
        ...choice === "lanes" && { LANES: gpu.info.lanes },
      },
    },
    params: { tiles, NH: numHeads, NKV: numKvHeads, scale: 1 / Math.sqrt(headSize) },
    tensors,
    workgroups: [x, by, z],
  });
}
