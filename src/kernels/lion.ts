// This module is browser compatible.
import code from "../../shaders/lion.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { STATE_FIELDS } from "./state.ts";
import { dispatchUpdate, UPDATE_PARAMS, type UpdateOptions } from "./update.ts";

const kernel: Kernel = {
  name: "lion",
  code,
  params: { ...UPDATE_PARAMS, beta1: "f32", beta2: "f32" },
  reads: ["gradient", "state"],
  writes: ["weight", "m"],
  structs: { State: STATE_FIELDS },
};

export interface LionOptions extends UpdateOptions {
  /** Of the update's direction. */
  beta1: number;
  /** Of what is kept. */
  beta2: number;
}

/**
 * One Lion update (Chen et al. 2023, arXiv:2302.06675) of weights, with what `gradNorm` left in `state`.
 *
 * @param tensors `weight`, f32 of any shape, and its mean gradient `m` are updated.
 * @throws {RangeError} If the shapes disagree.
 */
export function lion(
  commands: Commands,
  tensors: Record<"weight" | "m" | "gradient" | "state", Tensor>,
  { beta1, beta2, ...options }: LionOptions,
): void {
  dispatchUpdate(commands, kernel, tensors, { beta1, beta2 }, options);
}
