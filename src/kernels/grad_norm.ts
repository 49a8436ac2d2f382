// This module is browser compatible.
import normCode from "../../shaders/grad_norm.wgsl" with { type: "text" };
import partialCode from "../../shaders/grad_norm_partial.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Kernel } from "../gpu/kernel.ts";
import { elementCount, type Tensor } from "../gpu/tensor.ts";
import { expectShape, grid } from "./shapes.ts";
import { STATE_FIELDS, STATE_WORDS } from "./state.ts";
import { reducingThreads, tuned } from "./tuning.ts";

/** A slice of a gradient, which is one partial sum; see shaders/grad_norm_partial.wgsl. */
const SLICE_FIELDS = { begin4: "u32", stride4: "u32", end: "u32", index: "u32" } as const;

const partialKernel: Kernel = {
  name: "grad_norm_partial",
  code: partialCode,
  params: { count: "u32" },
  reads: ["gradient", "slices"],
  writes: ["partials"],
  structs: { Slice: SLICE_FIELDS },
  reduces: "f32",
};
const normKernel: Kernel = {
  name: "grad_norm",
  code: normCode,
  params: { count: "u32", max_norm: "f32" },
  reads: ["partials"],
  writes: ["state"],
  structs: { State: STATE_FIELDS },
  reduces: "f32",
};

const THREADS = 256;
const MAX_PARTIALS = 256;

/** How many partial sums {@link gradNormPartial} makes of a tensor. */
export function partialCount(shape: readonly number[]): number {
  return Math.min(MAX_PARTIALS, Math.ceil(elementCount(shape) / (16 * THREADS)));
}

/**
 * The slices of an arena's gradients for {@link gradNormPartial}: {@link partialCount} of each tensor.
 *
 * @param tensors Each with its first element in the arena, a multiple of 4, and the first of its partial sums.
 * @returns Of a u32 tensor (count, 4).
 */
export function gradientSlices(
  gpu: Gpu,
  tensors: readonly { shape: readonly number[]; first: number; partial: number }[],
): Uint32Array {
  const threads = reducingThreads(gpu, "gradNorm");
  const takeTurns = tuned(gpu, "gradNorm") !== "lanes";
  return Uint32Array.from(tensors.flatMap(({ shape, first, partial }) => {
    const count = partialCount(shape);
    const end = first + elementCount(shape);
    const length = 4 * threads * Math.ceil(elementCount(shape) / (4 * threads * count));
    return Array.from({ length: count }, (_, i) => {
      if (takeTurns) return [first / 4 + i * threads, count * threads, end, partial + i];
      const begin = first + i * length;
      return [begin / 4, threads, Math.min(begin + length, end), partial + i];
    }).flat();
  }));
}

/**
 * Writes the sums of squares of slices of gradients to `partials`.
 *
 * @param slices As {@link gradientSlices} made them, u32 (count, 4).
 */
export function gradNormPartial(
  commands: Commands,
  partials: Tensor,
  gradient: Tensor,
  slices: Tensor,
): void {
  const [count] = slices.shape;
  expectShape("grad_norm_partial", "slices", slices, [count, Object.keys(SLICE_FIELDS).length]);
  commands.dispatch(partialKernel, {
    variant: { overrides: { WORKGROUP: reducingThreads(commands.gpu, "gradNorm") } },
    params: { count },
    tensors: [gradient, slices, partials],
    workgroups: grid(count),
  });
}

/**
 * The global norm from its partial sums, the clipping factor, the overflow check and the loss scale, all left in `state`.
 *
 * @param state u32 (STATE_WORDS).
 * @param maxNorm Clip above it; 0 = never.
 * @param dynamic Whether to adapt the loss scale to overflows.
 */
export function gradNorm(
  commands: Commands,
  state: Tensor,
  partials: Tensor,
  { maxNorm, dynamic }: { maxNorm: number; dynamic: boolean },
): void {
  expectShape("grad_norm", "state", state, [STATE_WORDS]);
  commands.dispatch(normKernel, {
    variant: { overrides: { WORKGROUP: THREADS, DYNAMIC: dynamic ? 1 : 0 } },
    params: { count: partials.shape[0], max_norm: maxNorm },
    tensors: [partials, state],
    workgroups: [1],
  });
}
