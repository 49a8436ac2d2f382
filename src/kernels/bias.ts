// This module is browser compatible.
import code from "../../shaders/bias_backward.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { checkBias } from "./matmul.ts";
import { expectShape, operandType } from "./shapes.ts";

const kernel: Kernel = {
  name: "bias_backward",
  code,
  params: { M: "u32", N: "u32" },
  reads: ["dy"],
  writes: ["dbias"],
};
/** Columns that one workgroup sums. */
const COLUMNS = 32;

/**
 * Gradient of matmulForward with respect to the bias: dbias += the sum of dy's rows.
 *
 * @param dbias Accumulated into, f32 (N), N a multiple of 4.
 * @param dy Upstream gradient, f32 or f16 (M, N).
 * @throws {RangeError} If the shapes disagree.
 */
export function biasBackward(commands: Commands, dbias: Tensor, dy: Tensor): void {
  const [M, N] = dy.shape;
  checkBias(kernel.name, dbias, N);
  expectShape(kernel.name, "dy", dy, [M, N]);
  commands.dispatch(kernel, {
    variant: { types: { operand: operandType(kernel.name, dy) } },
    params: { M, N },
    tensors: [dy, dbias],
    workgroups: [Math.ceil(N / COLUMNS)],
  });
}
