// This module is browser compatible.
import { NonFiniteError } from "../errors.ts";
import type { Operand } from "../kernels/shapes.ts";

/**
 * @param expected What should have been finite, as "scores for token 3".
 * @param found What stood there instead, as "NaN".
 * @returns An error that also says what to do.
 */
export function nonFiniteError(
  { precision }: { precision: Operand },
  expected: string,
  found = "NaN or infinity",
): NonFiniteError {
  const remedy = precision === "f16"
    ? "f16 holds no number beyond 65,504, so use --precision f32"
    : "the weights are too large even for f32, so take another model";
  return new NonFiniteError(`Expected finite ${expected}, found ${found}: ${remedy}`);
}
