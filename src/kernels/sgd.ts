// This module is browser compatible.
import code from "../../shaders/sgd.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { STATE_FIELDS } from "./state.ts";
import { dispatchUpdate, UPDATE_PARAMS, type UpdateOptions } from "./update.ts";

const kernel: Kernel = {
  name: "sgd",
  code,
  params: UPDATE_PARAMS,
  reads: ["gradient", "state"],
  writes: ["weight"],
  structs: { State: STATE_FIELDS },
};

/**
 * One step of stochastic gradient descent without momentum, with what `gradNorm` left in `state`.
 *
 * @param tensors `weight`, f32 of any shape, is updated.
 * @throws {RangeError} If the shapes disagree.
 */
export function sgd(
  commands: Commands,
  tensors: Record<"weight" | "gradient" | "state", Tensor>,
  options: UpdateOptions,
): void {
  dispatchUpdate(commands, kernel, tensors, {}, options);
}
