// This module is browser compatible.
import type { Fields } from "../gpu/kernel.ts";

/**
 * What losses and updates of all optimizers share, and the gradient norm leaves on the GPU: `struct State` of the shaders that
 * bind it is made from this.
 *
 * - `loss_scale`: what derivatives of the loss are multiplied by.
 * - `clean_steps`: since the last overflow or growth of the loss scale.
 * - `skipped`: steps skipped so far.
 * - `multiplier`: turns a stored gradient into the clipped one; 0 where the step is skipped.
 * - `norm`: of the gradient, before clipping.
 */
export const STATE_FIELDS = {
  loss_scale: "f32",
  clean_steps: "u32",
  skipped: "u32",
  multiplier: "f32",
  norm: "f32",
} as const satisfies Fields;

export const STATE = wordsOf(STATE_FIELDS);
export const STATE_WORDS = Object.keys(STATE_FIELDS).length;

/** The word of each field. */
export function wordsOf<F extends Fields>(fields: F): Readonly<Record<keyof F, number>> {
  const words = Object.keys(fields).map((name, word) => [name, word] as const);
  return Object.fromEntries(words) as Record<keyof F, number>;
}
