// This module is browser compatible.
import code from "../../shaders/mix_weights.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import { elementCount, type Tensor } from "../gpu/tensor.ts";
import { expectDtype, expectShape, grid, operandType } from "./shapes.ts";

const kernel: Kernel = {
  name: "mix_weights",
  code,
  params: { length4: "u32", alpha: "f32", rest: "f32" },
  reads: ["policy"],
  writes: ["reference"],
};

const THREADS = 256;

/**
 * reference = alpha policy + (1 - alpha) reference
 *
 * @param reference f32 of any shape, is updated.
 * @param policy f32 or f16, of the same shape.
 * @param alpha From 0 to 1.
 * @throws {RangeError} If shapes or types disagree.
 */
export function mixWeights(
  commands: Commands,
  reference: Tensor,
  policy: Tensor,
  alpha: number,
): void {
  expectShape("mix_weights", "reference", reference, [...policy.shape]);
  expectDtype("mix_weights", "reference", reference, "f32");
  const length4 = Math.ceil(elementCount(policy.shape) / 4);
  commands.dispatch(kernel, {
    variant: {
      overrides: { WORKGROUP: THREADS },
      types: { source: operandType("mix_weights", policy) },
    },
    params: { length4, alpha, rest: 1 - alpha },
    tensors: [policy, reference],
    workgroups: grid(Math.ceil(length4 / THREADS)),
  });
}
