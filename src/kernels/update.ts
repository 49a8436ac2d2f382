// This module is browser compatible.
/**
 * What the updates of all optimizers share: they are elementwise, a thread for 4 weights, and weights in front decay.
 *
 * @module
 */
import type { Commands } from "../gpu/commands.ts";
import type { Fields, Kernel } from "../gpu/kernel.ts";
import { elementCount, type Tensor } from "../gpu/tensor.ts";
import { expectShape, grid } from "./shapes.ts";

export interface UpdateOptions {
  learningRate: number;
  weightDecay: number;
  /** How many weights decay: those in front. What follows them begins at a multiple of 4. */
  decaying: number;
}

/** The parameters that every update has, in front of its own. */
export const UPDATE_PARAMS = {
  length4: "u32",
  decaying4: "u32",
  lr: "f32",
  weight_decay: "f32",
} as const satisfies Fields;

const THREADS = 256;

/**
 * Records an update.
 *
 * @param kernel Writes `weight` and what is kept for each weight, and reads `gradient`.
 * @param tensors By the kernel's names for them.
 * @param params The kernel's own.
 * @throws {RangeError} If gradient, weights and what is kept for them differ in shape.
 */
export function dispatchUpdate(
  commands: Commands,
  kernel: Kernel,
  tensors: Readonly<Record<string, Tensor>>,
  params: Record<string, number>,
  { learningRate, weightDecay, decaying }: UpdateOptions,
): void {
  const { shape } = tensors.weight;
  for (const name of ["gradient", ...kernel.writes]) {
    expectShape(kernel.name, name, tensors[name], [...shape]);
  }
  const length4 = Math.ceil(elementCount(shape) / 4);
  commands.dispatch(kernel, {
    variant: { overrides: { WORKGROUP: THREADS } },
    params: {
      length4,
      decaying4: Math.ceil(decaying / 4),
      lr: learningRate,
      weight_decay: weightDecay,
      ...params,
    },
    tensors: [...kernel.reads, ...kernel.writes].map((name) => tensors[name]),
    workgroups: grid(Math.ceil(length4 / THREADS)),
  });
}
