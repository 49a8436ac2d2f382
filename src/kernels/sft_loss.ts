// This module is browser compatible.
import code from "../../shaders/sft_loss.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { STATE_FIELDS } from "./state.ts";

const kernel: Kernel = {
  name: "sft_loss",
  code,
  params: { first: "u32", count: "u32" },
  reads: ["state"],
  writes: ["dscore"],
  structs: { State: STATE_FIELDS },
};

/**
 * The derivative of the negative log-likelihood by the scores of sequences `first .. first + count`: -1 times the loss scale.
 *
 * @param dscore f32 (B).
 * @param state The optimizer's.
 */
export function sftLoss(
  commands: Commands,
  dscore: Tensor,
  state: Tensor,
  { first, count }: { first: number; count: number },
): void {
  commands.dispatch(kernel, {
    params: { first, count },
    tensors: [state, dscore],
    workgroups: [Math.ceil(count / 64)],
  });
}
