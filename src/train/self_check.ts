// This module is browser compatible.
import { UserError } from "../errors.ts";
import type { StepMetrics } from "./loop.ts";

/** Rounding of a mean of losses around ln 2. */
const LN2_TOLERANCE = 1e-4;

/**
 * Checks the first step of a DPO run that was not skipped, where so much is known that a broken set-up shows.
 *
 * @param atLn2 Whether policy and reference are the same, so that a sigmoid loss must be ln 2.
 * @throws {UserError} If the gradient is zero.
 * @throws {Error} If the loss is not ln 2 although policy and reference are the same.
 */
export function checkFirstStep({ step, loss, grad_norm }: StepMetrics, atLn2: boolean): string {
  if (grad_norm === 0) {
    throw new UserError(
      `Step ${step}: expected a gradient, found norm 0: the first pairs are identical, perhaps since they were cut ` +
        `(deno task inspect shows them; raise --max-length), or nothing is trained`,
    );
  }
  if (!atLn2) return `gradient norm ${grad_norm.toPrecision(3)}`;
  if (Math.abs(loss - Math.LN2) > LN2_TOLERANCE) {
    throw new Error(
      `Step ${step}: expected loss ln 2 = 0.6931 while policy and reference are the same, found ${loss}`,
    );
  }
  return `loss ln 2 at step ${step}, gradient norm ${grad_norm.toPrecision(3)}`;
}
