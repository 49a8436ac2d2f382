// This module is browser compatible.
import { UserError } from "../errors.ts";
import type { StepMetrics } from "./step_metrics.ts";

/** Rounding of a mean of losses, relative where they are large. */
const TOLERANCE = 1e-4;

/**
 * Checks the first step of a DPO run that was not skipped, where so much is known that a broken set-up shows.
 *
 * @param expected The loss where policy and reference are the same; null where they are not.
 * @throws {UserError} If the gradient is zero.
 * @throws {Error} If the loss is not the expected one.
 */
export function checkFirstStep(
  { step, loss, grad_norm }: StepMetrics,
  expected: number | null,
): string {
  if (grad_norm === 0) {
    throw new UserError(
      `Step ${step}: expected a gradient, found norm 0: the first pairs are identical, perhaps since they were cut ` +
        `(deno task inspect shows them; raise --max-length), or nothing is trained`,
    );
  }
  const norm = `gradient norm ${grad_norm.toPrecision(3)}`;
  if (expected === null) return norm;
  if (!(Math.abs(loss - expected) <= TOLERANCE * Math.max(1, expected))) {
    throw new Error(
      `Step ${step}: expected loss ${
        inWords(expected)
      } while policy and reference are the same, found ${loss}`,
    );
  }
  return `loss ${inWords(expected)} at step ${step}, ${norm}`;
}

const inWords = (loss: number) => loss === Math.LN2 ? "ln 2" : String(Number(loss.toPrecision(4)));
