// This module is browser compatible.
/**
 * The optimizers, a row for each: what they keep for every weight, what they keep besides, and their kernels. Allocation,
 * checkpoints and the memory plan follow the rows.
 *
 * @module
 */
import type { Commands } from "../gpu/commands.ts";
import type { Fields } from "../gpu/kernel.ts";
import type { Dtype, Tensor } from "../gpu/tensor.ts";
import { adamw, biasCorrection, CORRECTION_FIELDS } from "../kernels/adamw.ts";

/** The options that optimizers read. */
export interface UpdateOptions {
  learningRate: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
  /** How many weights of the arena decay: those in front. */
  decaying: number;
}

/** The weights of an arena with all that their update takes. */
export interface UpdateTensors {
  weight: Tensor;
  gradient: Tensor;
  /** The row's, by their names. */
  slots: Record<string, Tensor>;
  /** What `gradNorm` left. */
  state: Tensor;
  /** The row's. */
  numbers: Tensor;
}

export interface OptimizerRow {
  /** Numbers that it keeps for each weight, zeros at first; named as in checkpoints. */
  slots: Readonly<Record<string, Dtype>>;
  /** What it keeps besides, zeros at first. */
  numbers: Fields;
  /** Records what it does once per step, before the updates. */
  begin?(
    commands: Commands,
    numbers: Tensor,
    state: Tensor,
    options: Omit<UpdateOptions, "decaying">,
  ): void;
  /** Records the update of an arena; it does nothing where `gradNorm` skipped the step. */
  update(commands: Commands, tensors: UpdateTensors, options: UpdateOptions): void;
}

/** By the names that TRL has for them. */
export const OPTIMIZERS = {
  adamw_torch: {
    slots: { m: "f32", v: "f32" },
    numbers: CORRECTION_FIELDS,
    begin: biasCorrection,
    update(commands, { weight, gradient, slots: { m, v }, state, numbers }, options) {
      adamw(commands, weight, m, v, gradient, state, numbers, options);
    },
  },
} satisfies Record<string, OptimizerRow>;
