// This module is browser compatible.
import backwardCode from "../../shaders/embedding_backward.wgsl" with { type: "text" };
import forwardCode from "../../shaders/embedding_forward.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { expectMultiple, expectShape, grid, operandType } from "./shapes.ts";

const forwardKernel: Kernel = {
  name: "embedding_forward",
  code: forwardCode,
  params: { C: "u32", N: "u32" },
  reads: ["weight", "ids"],
  writes: ["x"],
};

const backwardKernel: Kernel = {
  name: "embedding_backward",
  code: backwardCode,
  params: { C: "u32", U: "u32" },
  reads: ["dx", "ids", "starts", "occurrences"],
  writes: ["dweight"],
};

const FORWARD_THREADS = 256;

/**
 * Looks up rows of a table, `x[n] = weight[ids[n]]`; also gathers rows of an activation.
 *
 * @param x Result, f32 or f16 (N, C).
 * @param weight Table, f32 or f16 (V, C); C a multiple of 4.
 * @param ids Rows of the table, u32 (N); the caller has checked that they are below V.
 * @throws {RangeError} If the shapes disagree.
 */
export function embeddingForward(
  commands: Commands,
  x: Tensor,
  weight: Tensor,
  ids: Tensor,
): void {
  const [N, C] = x.shape;
  expectMultiple("embedding_forward", "C", C, 4);
  expectShape("embedding_forward", "weight", weight, [weight.shape[0], C]);
  expectShape("embedding_forward", "ids", ids, [N]);
  commands.dispatch(forwardKernel, {
    variant: {
      overrides: { WORKGROUP: FORWARD_THREADS },
      types: {
        element: operandType("embedding_forward", weight),
        operand: operandType("embedding_forward", x),
      },
    },
    params: { C, N },
    tensors: [weight, ids, x],
    workgroups: grid(Math.ceil(N * C / 4 / FORWARD_THREADS)),
  });
}

/** The rows of a batch grouped by what they looked up: those of `ids[u]` are `occurrences[starts[u] .. starts[u+1])`. */
export interface RowsById<Numbers = Uint32Array> {
  /** Distinct ids, ascending (U). */
  ids: Numbers;
  /** (U + 1). */
  starts: Numbers;
  /** Rows, ascending within an id (N). */
  occurrences: Numbers;
}

/** Groups the rows of a batch by their id, for {@link embeddingBackward}. */
export function groupById(ids: Uint32Array): RowsById {
  const rows = new Map<number, number[]>();
  for (const [row, id] of ids.entries()) {
    const group = rows.get(id);
    if (group) group.push(row);
    else rows.set(id, [row]);
  }
  const distinct = Uint32Array.from(rows.keys()).sort();
  const starts = new Uint32Array(distinct.length + 1);
  const occurrences = new Uint32Array(ids.length);
  for (const [u, id] of distinct.entries()) {
    const group = rows.get(id)!;
    occurrences.set(group, starts[u]);
    starts[u + 1] = starts[u] + group.length;
  }
  return { ids: distinct, starts, occurrences };
}

/**
 * Adds the gradient of {@link embeddingForward} to the table's: `dweight[id] += sum of dx[n]` over the rows of the id, in
 * their order.
 *
 * @param dweight Accumulated gradient, f32 (V, C).
 * @param dx Upstream gradient, f32 (N, C); C a multiple of 4.
 * @param rows What {@link groupById} made of the ids, on the GPU: u32 (U), (U + 1), (N).
 * @throws {RangeError} If the shapes disagree.
 */
export function embeddingBackward(
  commands: Commands,
  dweight: Tensor,
  dx: Tensor,
  { ids, starts, occurrences }: RowsById<Tensor>,
): void {
  const [N, C] = dx.shape;
  const [U] = ids.shape;
  expectMultiple("embedding_backward", "C", C, 4);
  expectShape("embedding_backward", "dweight", dweight, [dweight.shape[0], C]);
  expectShape("embedding_backward", "starts", starts, [U + 1]);
  expectShape("embedding_backward", "occurrences", occurrences, [N]);
  commands.dispatch(backwardKernel, {
    variant: { overrides: { WORKGROUP: 64 } },
    params: { C, U },
    tensors: [dx, ids, starts, occurrences, dweight],
    workgroups: grid(U),
  });
}
