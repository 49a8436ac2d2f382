// This module is browser compatible.
import normCode from "../../shaders/grad_norm.wgsl" with { type: "text" };
import partialCode from "../../shaders/grad_norm_partial.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import { elementCount, type Tensor } from "../gpu/tensor.ts";
import { expectShape } from "./shapes.ts";
import { STATE_FIELDS, STATE_WORDS } from "./state.ts";
import { reducingThreads } from "./tuning.ts";

const partialKernel: Kernel = {
  name: "grad_norm_partial",
  code: partialCode,
  params: { length: "u32", first: "u32" },
  reads: ["gradient"],
  writes: ["partials"],
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
export function partialCount(gradient: Tensor): number {
  return Math.min(MAX_PARTIALS, Math.ceil(elementCount(gradient.shape) / (16 * THREADS)));
}

/** Writes the sums of squares of slices of a gradient to `partials`, from slot `first`: {@link partialCount} of them. */
export function gradNormPartial(
  commands: Commands,
  partials: Tensor,
  gradient: Tensor,
  first: number,
): void {
  commands.dispatch(partialKernel, {
    variant: { overrides: { WORKGROUP: reducingThreads(commands.gpu, "gradNorm") } },
    params: { length: elementCount(gradient.shape), first },
    tensors: [gradient, partials],
    workgroups: [partialCount(gradient)],
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
