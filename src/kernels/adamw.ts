// This module is browser compatible.
import adamwCode from "../../shaders/adamw.wgsl" with { type: "text" };
import biasCode from "../../shaders/bias_correction.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Fields, Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { expectShape } from "./shapes.ts";
import { STATE_FIELDS, wordsOf } from "./state.ts";
import { dispatchUpdate, UPDATE_PARAMS, type UpdateOptions } from "./update.ts";

/**
 * What {@link biasCorrection} keeps.
 *
 * - `step`: updates made, this one included.
 * - `bias1`, `bias2`: the corrections of the two moments.
 */
export const CORRECTION_FIELDS = {
  step: "u32",
  bias1: "f32",
  bias2: "f32",
} as const satisfies Fields;
export const CORRECTION = wordsOf(CORRECTION_FIELDS);
export const CORRECTION_WORDS = Object.keys(CORRECTION_FIELDS).length;

const structs = { State: STATE_FIELDS, Correction: CORRECTION_FIELDS };
const adamwKernel: Kernel = {
  name: "adamw",
  code: adamwCode,
  params: { ...UPDATE_PARAMS, beta1: "f32", beta2: "f32", eps: "f32" },
  reads: ["gradient", "state", "correction"],
  writes: ["weight", "m", "v"],
  structs,
};
const biasKernel: Kernel = {
  name: "bias_correction",
  code: biasCode,
  params: { log_beta1: "f32", log_beta2: "f32" },
  reads: ["state"],
  writes: ["correction"],
  structs,
};

export interface AdamWOptions extends UpdateOptions {
  beta1: number;
  beta2: number;
  epsilon: number;
}

/**
 * Counts an update in `correction`, and what its moments must be divided by for having begun as zeros: once per step, between
 * `gradNorm` and {@link adamw}. Nothing where the step is skipped.
 *
 * @param correction u32 ({@link CORRECTION_WORDS}).
 * @param state What `gradNorm` left.
 */
export function biasCorrection(
  commands: Commands,
  correction: Tensor,
  state: Tensor,
  { beta1, beta2 }: Pick<AdamWOptions, "beta1" | "beta2">,
): void {
  expectShape("bias_correction", "correction", correction, [CORRECTION_WORDS]);
  commands.dispatch(biasKernel, {
    params: { log_beta1: Math.log(beta1), log_beta2: Math.log(beta2) },
    tensors: [state, correction],
    workgroups: [1],
  });
}

/**
 * One AdamW update (Loshchilov & Hutter 2019, arXiv:1711.05101) of weights, with what `gradNorm` left in `state` and
 * {@link biasCorrection} in `correction`.
 *
 * @param tensors `weight`, f32 of any shape, and its moments `m` and `v` are updated.
 * @throws {RangeError} If the shapes disagree.
 */
export function adamw(
  commands: Commands,
  tensors: Record<"weight" | "m" | "v" | "gradient" | "state" | "correction", Tensor>,
  { beta1, beta2, epsilon, ...options }: AdamWOptions,
): void {
  dispatchUpdate(commands, adamwKernel, tensors, { beta1, beta2, eps: epsilon }, options);
}
