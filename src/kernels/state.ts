// This module is browser compatible.
import type { Fields } from "../gpu/kernel.ts";

/**
 * The optimizer's state, which the update reads and leaves on the GPU: `struct State` of the shaders that bind it is made from
 * this.
 *
 * - `loss_scale`: what derivatives of the loss are multiplied by.
 * - `clean_steps`: since the last overflow or growth of the loss scale.
 * - `step`: updates made, this one included unless skipped.
 * - `skipped`: steps skipped so far.
 * - `multiplier`: turns a stored gradient into the clipped one; 0 where the step is skipped.
 * - `norm`: of the gradient, before clipping.
 * - `bias1`, `bias2`: Adam's corrections of its moments.
 */
export const STATE_FIELDS = {
  loss_scale: "f32",
  clean_steps: "u32",
  step: "u32",
  skipped: "u32",
  multiplier: "f32",
  norm: "f32",
  bias1: "f32",
  bias2: "f32",
} as const satisfies Fields;

type StateField = keyof typeof STATE_FIELDS;

/** The word of each field. */
export const STATE = Object.fromEntries(
  Object.keys(STATE_FIELDS).map((name, word) => [name, word]),
) as Readonly<Record<StateField, number>>;
export const STATE_WORDS = Object.keys(STATE_FIELDS).length;
