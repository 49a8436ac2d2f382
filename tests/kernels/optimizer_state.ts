/** What an update finds where the gradient norm was looked at. */
import type { Tensor } from "../../src/gpu/tensor.ts";
import { STATE, STATE_WORDS } from "../../src/kernels/state.ts";
import { upload } from "./harness.ts";

/** @param multiplier What turns a stored gradient into the one to take; 0: the step is skipped. */
export function stateOf(multiplier: number): Tensor {
  const words = new Float32Array(STATE_WORDS);
  words[STATE.loss_scale] = 1;
  words[STATE.multiplier] = multiplier;
  return upload(new Uint32Array(words.buffer), [STATE_WORDS]);
}
