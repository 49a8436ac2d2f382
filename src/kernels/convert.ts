// This module is browser compatible.
import code from "../../shaders/convert.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import { elementCount, type Tensor } from "../gpu/tensor.ts";
import { expectShape, grid, operandType } from "./shapes.ts";

const kernel: Kernel = {
  name: "convert",
  code,
  params: { length4: "u32" },
  reads: ["x"],
  writes: ["y"],
};

const THREADS = 256;

/** Copies x to y in y's dtype; both f32 or f16, of the same shape. */
export function convert(commands: Commands, y: Tensor, x: Tensor): void {
  expectShape("convert", "y", y, [...x.shape]);
  const length4 = Math.ceil(elementCount(x.shape) / 4);
  commands.dispatch(kernel, {
    variant: {
      overrides: { WORKGROUP: THREADS },
      types: { source: operandType("convert", x), result: operandType("convert", y) },
    },
    params: { length4 },
    tensors: [x, y],
    workgroups: grid(Math.ceil(length4 / THREADS)),
  });
}
