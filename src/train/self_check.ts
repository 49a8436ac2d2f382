// This module is browser compatible.
import { UserError } from "../errors.ts";
import type { StepMetrics } from "./step_metrics.ts";

/** Rounding of a mean of losses, relative where they are large. */
const TOLERANCE = 1e-4;

/** Times which a gradient may vanish in f32. */
const SMALL_BETA = 1e-6;

/**
 * Checks the first step of a DPO run that was not skipped, where so much is known that a broken set-up shows.
 *
 * @param expected The loss where policy and reference are the same; null where they are not.
 * @param beta Of the loss; so small a one leaves no gradient.
 * @throws {UserError} If the gradient is zero.
 * @throws {Error} If the loss is not the expected one.
 */
export function checkFirstStep(
  { step, loss, grad_norm }: StepMetrics,
  expected: number | null,
  beta: number,
): string {
  if (grad_norm === 0) {
    const cause = beta < SMALL_BETA
      ? `--beta ${beta} makes it smaller than any number: raise it, 0.1 is usual`
      : "the first pairs are identical, perhaps since they were cut (deno task inspect shows them; raise --max-length), " +
        "or nothing is trained";
    throw new UserError(`Step ${step}: expected a gradient, found norm 0: ${cause}`);
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
