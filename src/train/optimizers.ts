// This module is browser compatible.
/**
 * The optimizers, a row for each: how each parameter is updated, and what is kept besides. Allocation, checkpoints and the
 * memory plan follow the rows.
 *
 * @module
 */
import type { Options } from "../config/resolve.ts";
import type { Commands } from "../gpu/commands.ts";
import type { Fields } from "../gpu/kernel.ts";
import type { Dtype, Tensor } from "../gpu/tensor.ts";
import { adamw, type AdamWOptions, biasCorrection, CORRECTION_FIELDS } from "../kernels/adamw.ts";
import { lion } from "../kernels/lion.ts";
import { type MatrixPlace, muon, type MuonOptions, muonScratch } from "../kernels/muon.ts";
import { sgd } from "../kernels/sgd.ts";
import type { ParameterSpec } from "../model/params.ts";

/** The names of the optimizers: those of TRL, and `muon`. */
export type OptimizerName = Options<"train">["optim"];

/** The options that the rows read. */
export type UpdateOptions = AdamWOptions & MuonOptions;

/** Weights that lie side by side and have one rule, with all that their update takes: PyTorch's parameter group. */
export interface UpdateTensors<Slot extends string = string, Scratch extends string = string> {
  weight: Tensor;
  gradient: Tensor;
  /** The rule's, by their names. */
  slots: Record<Slot, Tensor>;
  /** The rule's, by their names; all its groups have the same. */
  scratch: Record<Scratch, Tensor>;
  /** What `gradNorm` left. */
  state: Tensor;
  /** The row's. */
  numbers: Tensor;
}

/** How weights are updated. */
export interface UpdateRule<Slot extends string = string, Scratch extends string = string> {
  /** Numbers that it keeps for each weight, zeros at first; named as in checkpoints. */
  slots: Readonly<Record<Slot, Dtype>>;
  /** Elements that it needs during an update, all f32, for the matrices of all groups. */
  scratch?(matrices: readonly MatrixPlace[]): Record<Scratch, number>;
  /**
   * Records the update of a group; it does nothing where `gradNorm` skipped the step.
   *
   * @param matrices Of the group, as checkpoints have them.
   */
  update(
    commands: Commands,
    tensors: UpdateTensors<Slot, Scratch>,
    options: UpdateOptions,
    matrices: readonly MatrixPlace[],
  ): void;
}

export interface OptimizerRow {
  /** The rule of a parameter. */
  ruleOf(spec: ParameterSpec): UpdateRule;
  /** What it keeps besides, zeros at first. */
  numbers: Fields;
  /** Records what it does once per step, before the updates. */
  begin?(
    commands: Commands,
    numbers: Tensor,
    state: Tensor,
    options: Omit<UpdateOptions, "decaying">,
  ): void;
}

/** Lets a rule have names of its own where all rules are alike. */
const rule = <Slot extends string, Scratch extends string = never>(
  own: UpdateRule<Slot, Scratch>,
): UpdateRule => own;

const ADAMW = rule({
  slots: { m: "f32", v: "f32" },
  update(commands, { slots: { m, v }, numbers: correction, ...tensors }, options) {
    adamw(commands, { ...tensors, m, v, correction }, options);
  },
});

const LION = rule({
  slots: { m: "f32" },
  update(commands, { slots: { m }, ...tensors }, options) {
    lion(commands, { ...tensors, m }, options);
  },
});

const SGD = rule({ slots: {}, update: sgd });

const MUON = rule({
  slots: { m: "f32" },
  scratch: muonScratch,
  update(commands, { slots: { m }, scratch, ...tensors }, options, matrices) {
    muon(commands, { ...tensors, m }, matrices, scratch, options);
  },
});

export const OPTIMIZERS: Readonly<Record<OptimizerName, OptimizerRow>> = {
  adamw_torch: { ruleOf: () => ADAMW, numbers: CORRECTION_FIELDS, begin: biasCorrection },
  lion_32bit: { ruleOf: () => LION, numbers: {} },
  sgd: { ruleOf: () => SGD, numbers: {} },
  // Embeddings and the head are tables of rows, of which a batch touches few: AdamW's, as everywhere.
  muon: {
    ruleOf: ({ kind }) => kind === "matrix" || kind === "adapter" ? MUON : ADAMW,
    numbers: CORRECTION_FIELDS,
    begin: biasCorrection,
  },
};
