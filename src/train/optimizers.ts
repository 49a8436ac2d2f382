// This module is browser compatible.
/**
 * The optimizers, a row for each: what they keep for every weight, what they keep besides, and their kernels. Allocation,
 * checkpoints and the memory plan follow the rows.
 *
 * @module
 */
import type { Options } from "../config/resolve.ts";
import type { Commands } from "../gpu/commands.ts";
import type { Fields } from "../gpu/kernel.ts";
import type { Dtype, Tensor } from "../gpu/tensor.ts";
import { adamw, type AdamWOptions, biasCorrection, CORRECTION_FIELDS } from "../kernels/adamw.ts";
import { lion } from "../kernels/lion.ts";
import { sgd } from "../kernels/sgd.ts";

/** The names of the optimizers: those of TRL. */
export type OptimizerName = Options<"train">["optim"];

/** The options that the rows read. */
export type UpdateOptions = AdamWOptions;

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

export const OPTIMIZERS: Readonly<Record<OptimizerName, OptimizerRow>> = {
  adamw_torch: {
    slots: { m: "f32", v: "f32" },
    numbers: CORRECTION_FIELDS,
    begin: biasCorrection,
    update(commands, { slots: { m, v }, numbers: correction, ...tensors }, options) {
      adamw(commands, { ...tensors, m, v, correction }, options);
    },
  },
  lion_32bit: {
    slots: { m: "f32" },
    numbers: {},
    update(commands, { slots: { m }, ...tensors }, options) {
      lion(commands, { ...tensors, m }, options);
    },
  },
  sgd: {
    slots: {},
    numbers: {},
    update: sgd,
  },
};
