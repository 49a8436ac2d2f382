// This module is browser compatible.
import code from "../../shaders/rope.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { expectHeads, type Heads, rowElements } from "./heads.ts";
import { expectShape, grid, operandType } from "./shapes.ts";

const kernel: Kernel = {
  name: "rope",
  code,
  params: { N: "u32", HEADS: "u32", HS: "u32", ROW: "u32", direction: "f32" },
  reads: ["table", "positions"],
  writes: ["qkv"],
};

const WORKGROUP = 256;

/**
 * Rotary position embedding, in place (Su et al. 2021, arXiv:2104.09864).
 *
 * @param qkv Query, key and value heads, f32 or f16 (N, (NH + 2 NKV) HS); query and key heads are rotated.
 * @param table Cosines and sines, f32 (positions, HS), from `ropeTable`.
 * @param positions Position of every row in its sequence, u32 (N); the caller has checked that the table has them.
 * @throws {RangeError} If the shapes disagree.
 */
export function ropeForward(
  commands: Commands,
  qkv: Tensor,
  table: Tensor,
  positions: Tensor,
  heads: Heads,
): void {
  rope(commands, qkv, table, positions, heads, 1);
}

/**
 * Gradient of {@link ropeForward}, in place: the rotation back.
 *
 * @param dqkv Gradient of the rotated heads, f32 or f16 (N, (NH + 2 NKV) HS); becomes that of the heads before.
 * @throws {RangeError} If the shapes disagree.
 */
export function ropeBackward(
  commands: Commands,
  dqkv: Tensor,
  table: Tensor,
  positions: Tensor,
  heads: Heads,
): void {
  rope(commands, dqkv, table, positions, heads, -1);
}

function rope(
  commands: Commands,
  qkv: Tensor,
  table: Tensor,
  positions: Tensor,
  heads: Heads,
  direction: 1 | -1,
): void {
  const [N] = qkv.shape;
  const { numHeads, numKvHeads, headSize } = heads;
  expectHeads("rope", heads);
  expectShape("rope", "qkv", qkv, [N, rowElements(heads)]);
  expectShape("rope", "table", table, [table.shape[0], headSize]);
  expectShape("rope", "positions", positions, [N]);
  const HEADS = numHeads + numKvHeads;
  commands.dispatch(kernel, {
    variant: { overrides: { WORKGROUP }, types: { operand: operandType("rope", qkv) } },
    params: { N, HEADS, HS: headSize, ROW: rowElements(heads), direction },
    tensors: [table, positions, qkv],
    workgroups: grid(Math.ceil(N * HEADS * headSize / 8 / WORKGROUP)),
  });
}
