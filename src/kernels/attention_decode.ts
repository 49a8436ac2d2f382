// This module is browser compatible.
import decodeCode from "../../shaders/attention_decode.wgsl" with { type: "text" };
import decodeLanesCode from "../../shaders/attention_decode_lanes.wgsl" with { type: "text" };
import laneBroadcastCode from "../../shaders/lane_broadcast.wgsl" with { type: "text" };
import laneHeadCode from "../../shaders/lane_head.wgsl" with { type: "text" };
import rotatedHeadCode from "../../shaders/rotated_head.wgsl" with { type: "text" };
import readCode from "../../shaders/kv_cache_read.wgsl" with { type: "text" };
import writeCode from "../../shaders/kv_cache_write.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import { label, type Tensor } from "../gpu/tensor.ts";
import { expectHeads, type Heads, rowElements } from "./heads.ts";
import { expectDtype, expectShape, grid, operandType } from "./shapes.ts";
import { tuned } from "./tuning.ts";

const decodeKernel: Kernel = {
  name: "attention_decode",
  code: decodeCode + rotatedHeadCode,
  params: { NH: "u32", NKV: "u32", scale: "f32" },
  reads: ["qkv", "table", "lengths"],
  writes: ["cache", "out"],
  reduces: "f32",
};

/** The same for a software adapter. */
const decodeLanes: Kernel = {
  ...decodeKernel,
  name: "attention_decode_lanes",
  code: decodeLanesCode + rotatedHeadCode + laneHeadCode + laneBroadcastCode,
  reduces: undefined,
  subgroups: true,
};

const writeKernel: Kernel = {
  name: "kv_cache_write",
  code: writeCode,
  params: { N: "u32", ROW: "u32", WIDTH: "u32" },
  reads: ["qkv", "cache_rows"],
  writes: ["cache"],
};

const readKernel: Kernel = {
  name: "kv_cache_read",
  code: readCode,
  params: { N: "u32", ROW: "u32", WIDTH: "u32", first: "u32" },
  reads: ["cache", "cache_rows"],
  writes: ["qkv"],
};

const COPY_THREADS = 256;

/**
 * Attention of one new token per sequence over its keys and values: rotates its queries and keys (as ropeForward), puts its keys
 * and values into the cache (as kvCacheWrite), and attends to them and to those before.
 *
 * @param out Result, f32 or f16 (B, NH HS).
 * @param cache Key and value heads by token, f32 or f16 (rows, 2 NKV HS); receives the new tokens' in row
 * `firstRow + keyCount - 1` of each.
 * @param qkv Query, key and value heads, not rotated, same dtype as out (B, (NH + 2 NKV) HS).
 * @param table Cosines and sines, f32 (positions, HS), from `ropeTable`.
 * @param lengths First cache row and number of keys of every sequence, the token's own included, so that its position is one less;
 * u32 (B, 2). The caller has checked that cache and table have them.
 * @throws {RangeError} If shapes or dtypes disagree.
 */
export function attentionDecode(
  commands: Commands,
  out: Tensor,
  cache: Tensor,
  qkv: Tensor,
  table: Tensor,
  lengths: Tensor,
  heads: Heads,
): void {
  const kernel = decodeKernel.name;
  const [B] = qkv.shape;
  const { numHeads, numKvHeads, headSize } = heads;
  expectHeads(kernel, heads);
  expectShape(kernel, "qkv", qkv, [B, rowElements(heads)]);
  expectShape(kernel, "cache", cache, [cache.shape[0], 2 * numKvHeads * headSize]);
  expectShape(kernel, "table", table, [table.shape[0], headSize]);
  expectShape(kernel, "lengths", lengths, [B, 2]);
  expectShape(kernel, "out", out, [B, numHeads * headSize]);
  expectDtype(kernel, "out", out, qkv.dtype);
  const choice = tuned(commands.gpu, "attentionDecode");
  const byLanes = choice === "lanes";
  commands.dispatch(byLanes ? decodeLanes : decodeKernel, {
    variant: {
      overrides: byLanes ? {} : choice,
      types: { operand: operandType(kernel, qkv), element: operandType(kernel, cache) },
      constants: { HEAD_SIZE: headSize, ...byLanes && { LANES: commands.gpu.info.lanes } },
    },
    params: { NH: numHeads, NKV: numKvHeads, scale: 1 / Math.sqrt(headSize) },
    tensors: [qkv, table, lengths, cache, out],
    workgroups: [numHeads, B],
  });
}

/**
 * Copies the key and value heads of every row into the cache.
 *
 * @param cache f32 or f16 (rows, 2 NKV HS), a row holds a token's key heads, then its value heads.
 * @param qkv Query, key and value heads, already rotated, f32 or f16 (N, (NH + 2 NKV) HS).
 * @param cacheRows Distinct rows of the cache, u32 (N); the caller has checked that it has them.
 * @throws {RangeError} If the shapes disagree.
 */
export function kvCacheWrite(
  commands: Commands,
  cache: Tensor,
  qkv: Tensor,
  cacheRows: Tensor,
): void {
  const kernel = writeKernel.name;
  const [N, ROW] = qkv.shape;
  const [, WIDTH] = cache.shape;
  expectShape(kernel, "cache_rows", cacheRows, [N]);
  if (WIDTH >= ROW) {
    throw new RangeError(`${kernel}: expected a cache narrower than qkv (${ROW}), found ${WIDTH}`);
  }
  commands.dispatch(writeKernel, {
    variant: {
      overrides: { WORKGROUP: COPY_THREADS },
      types: { operand: operandType(kernel, qkv), element: operandType(kernel, cache) },
    },
    params: { N, ROW, WIDTH },
    tensors: [qkv, cacheRows, cache],
    workgroups: grid(Math.ceil(N * WIDTH / 4 / COPY_THREADS)),
  });
}

/**
 * Copies key and value heads out of the cache, into rows of qkv behind those of new tokens, which then can attend to them.
 *
 * @param qkv f32 or f16 (rows, (NH + 2 NKV) HS); keys and values of the rows `firstRow` and on are overwritten.
 * @param cache f32 or f16 (cached, 2 NKV HS); see {@link kvCacheWrite}.
 * @param cacheRows Rows of the cache, u32 (N); the caller has checked that it has them.
 * @throws {RangeError} If the shapes disagree.
 */
export function kvCacheRead(
  commands: Commands,
  qkv: Tensor,
  cache: Tensor,
  cacheRows: Tensor,
  firstRow: number,
): void {
  const kernel = readKernel.name;
  const [rows, ROW] = qkv.shape;
  const [, WIDTH] = cache.shape;
  const [N] = cacheRows.shape;
  if (WIDTH >= ROW || firstRow + N > rows) {
    throw new RangeError(
      `${kernel}: expected a cache narrower than qkv, and ${N} rows from ${firstRow} in it, found ${
        label(cache)
      } and ${label(qkv)}`,
    );
  }
  commands.dispatch(readKernel, {
    variant: {
      overrides: { WORKGROUP: COPY_THREADS },
      types: { operand: operandType(kernel, qkv), element: operandType(kernel, cache) },
    },
    params: { N, ROW, WIDTH, first: firstRow },
    tensors: [cache, cacheRows, qkv],
    workgroups: grid(Math.ceil(N * WIDTH / 4 / COPY_THREADS)),
  });
}
