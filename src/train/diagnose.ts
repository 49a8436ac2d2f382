// This module is browser compatible.
import { UserError } from "../errors.ts";
import { readTensor } from "../gpu/tensor.ts";
import type { Model } from "../model/model.ts";
import { trainedParameters } from "../model/weights.ts";
import type { StepMetrics } from "./loop.ts";

/** Describes a step whose loss or gradient was not finite: the first tensor concerned and its first bad element. */
export async function nonFiniteGradient(
  { gpu, weights }: Model,
  { step, loss, grad_norm }: StepMetrics,
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
  return new UserError(
    `Step ${step}: expected a finite loss and gradient, found loss ${loss} and gradient norm ${grad_norm}; ${where}: ` +
      "lower --learning-rate, or use --precision f32",
  );
}
