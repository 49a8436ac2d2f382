// This module is browser compatible.
import { UserError } from "../errors.ts";
import { readTensor } from "../gpu/tensor.ts";
import type { Model } from "../model/model.ts";
import { trainedParameters } from "../model/weights.ts";
import type { StepMetrics } from "./step_metrics.ts";

/**
 * Describes a step whose loss or gradient was not finite: the first tensor concerned and its first bad element.
 *
 * @param metrics Of that step. Where all numbers of its rows are finite at f16, the loss scale cannot fall any more.
 * @param ofRow What is not finite of a row.
 * @param remedy What to change, as the options are.
 */
export async function nonFiniteGradient(
  { gpu, weights }: Model,
  { step, loss, grad_norm, skipped, loss_scale }: StepMetrics,
  ofRow: string | null,
  remedy = "lower --learning-rate",
): Promise<UserError> {
  let where = "every gradient is finite now";
  for (const { spec, gradient } of trainedParameters(weights)) {
    const values = await readTensor(gpu, gradient);
    const index = values.findIndex((value) => !Number.isFinite(value));
    if (index < 0) continue;
    const columns = spec.shape[1] ?? 1;
    const row = Math.floor(index / columns);
    where = `the gradient of "${spec.name}" is ${values[index]} in row ${row}, column ${
      index % columns
    }`;
    break;
  }
  const norm = skipped ? "a gradient that is not" : `gradient norm ${grad_norm}`;
  const found = [
    `Step ${step}: expected a finite loss and gradient, found loss ${loss} and ${norm}`,
    ...ofRow === null ? [] : [ofRow],
    where,
  ].join("; ");
  if (weights.precision === "f32") return new UserError(`${found}: ${remedy}`);
  const overflow = ofRow === null
    ? `f16 overflows in the backward pass even at a loss scale of ${loss_scale}`
    : "f16 overflows in the forward pass, or training diverged";
  return new UserError(
    `${found}; ${overflow}: use --precision f32, or ${remedy}`,
  );
}
