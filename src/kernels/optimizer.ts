// This module is browser compatible.
import adamwCode from "../../shaders/adamw.wgsl" with { type: "text" };
import gradNormCode from "../../shaders/grad_norm.wgsl" with { type: "text" };
import partialCode from "../../shaders/grad_norm_partial.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import { elementCount, type Tensor } from "../gpu/tensor.ts";
import { expectShape, grid } from "./shapes.ts";
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
const gradNormKernel: Kernel = {
  name: "grad_norm",
  code: gradNormCode,
  params: { count: "u32", max_norm: "f32", log_beta1: "f32", log_beta2: "f32" },
  reads: ["partials"],
  writes: ["state"],
  structs: { State: STATE_FIELDS },
  reduces: "f32",
};
const adamwKernel: Kernel = {
  name: "adamw",
  code: adamwCode,
  params: {
    length4: "u32",
    lr: "f32",
    beta1: "f32",
    beta2: "f32",
    eps: "f32",
    weight_decay: "f32",
  },
  reads: ["gradient", "state"],
  structs: { State: STATE_FIELDS },
  writes: ["weight", "m", "v"],
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

export interface AdamWOptions {
  learningRate: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
}

/**
 * The global norm from its partial sums, the clipping factor, the overflow check, the loss scale and Adam's bias corrections,
 * all left in `state` for {@link adamw}.
 *
 * @param state u32 ({@link STATE_WORDS}).
 * @param maxNorm Clip above it; 0 = never.
 * @param dynamic Whether to adapt the loss scale to overflows.
 */
export function gradNorm(
  commands: Commands,
  state: Tensor,
  partials: Tensor,
  { maxNorm, dynamic, beta1, beta2 }: {
    maxNorm: number;
    dynamic: boolean;
    beta1: number;
    beta2: number;
  },
): void {
  expectShape("grad_norm", "state", state, [STATE_WORDS]);
  commands.dispatch(gradNormKernel, {
    variant: { overrides: { WORKGROUP: THREADS, DYNAMIC: dynamic ? 1 : 0 } },
    params: {
      count: partials.shape[0],
      max_norm: maxNorm,
      log_beta1: Math.log(beta1),
      log_beta2: Math.log(beta2),
    },
    tensors: [partials, state],
    workgroups: [1],
  });
}

/**
 * One AdamW update (Loshchilov & Hutter 2019, arXiv:1711.05101) of a tensor, with what {@link gradNorm} left in `state`.
 *
 * @param weight f32, any shape; updated, like the moments m and v of the same shape.
 * @throws {RangeError} If the shapes disagree.
 */
export function adamw(
  commands: Commands,
  weight: Tensor,
  m: Tensor,
  v: Tensor,
  gradient: Tensor,
  state: Tensor,
  { learningRate, beta1, beta2, epsilon, weightDecay }: AdamWOptions,
): void {
  for (const [name, tensor] of Object.entries({ m, v, gradient })) {
    expectShape("adamw", name, tensor, [...weight.shape]);
  }
  const length4 = Math.ceil(elementCount(weight.shape) / 4);
  commands.dispatch(adamwKernel, {
    variant: { overrides: { WORKGROUP: THREADS } },
    params: {
      length4,
      lr: learningRate,
      beta1,
      beta2,
      eps: epsilon,
      weight_decay: weightDecay,
    },
    tensors: [gradient, state, weight, m, v],
    workgroups: grid(Math.ceil(length4 / THREADS)),
  });
}
