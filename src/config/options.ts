// This module is browser compatible.
import type { Command, OptionSpec, ValueOf } from "./kinds.ts";
import { COMMON } from "./options/common.ts";
import { DATASETS } from "./options/dataset.ts";
import { EVALUATION } from "./options/evaluation.ts";
import { FILTER } from "./options/filter.ts";
import { GENERATION } from "./options/generation.ts";
import { LOSS } from "./options/loss.ts";
import { MACHINE } from "./options/machine.ts";
import { OPTIMIZER } from "./options/optimizer.ts";
import { SAVING } from "./options/saving.ts";
import { SERVER } from "./options/server.ts";
import { TRAINED } from "./options/trained.ts";

/** The sections of a command's help, in order. */
export const SECTIONS = {
  "Most used": COMMON,
  "Dataset": DATASETS,
  "Filter": FILTER,
  "Loss": LOSS,
  "Optimizer": OPTIMIZER,
  "What is trained": TRAINED,
  "Evaluation": EVALUATION,
  "Saving": SAVING,
  "Generation": GENERATION,
  "Server": SERVER,
  "Device and cache": MACHINE,
};

/**
 * Every option of every command, once. Names are those of TRL where TRL has one, in camel case; as a flag `learningRate`
 * is `--learning-rate` or `--learning_rate`, in a configuration file any of the three. Types, help, parsing, the
 * resolved configuration of a run: all follow from this table.
 */
export const OPTIONS = {
  ...COMMON,
  ...DATASETS,
  ...FILTER,
  ...LOSS,
  ...OPTIMIZER,
  ...TRAINED,
  ...EVALUATION,
  ...SAVING,
  ...GENERATION,
  ...SERVER,
  ...MACHINE,
} satisfies Record<string, OptionSpec>;

/** The options that are rules of the strong-preference filter, in the order in which they are reported. */
export const FILTER_RULES = [
  "minChars",
  "minDifference",
  "maxOverlap",
  "maxStopWordRatio",
  "minNounVerbGain",
  "maxWeakPhrases",
] as const satisfies readonly OptionName[];

type Table = typeof OPTIONS;
export type OptionName = keyof Table;

/** The resolved value of one option. */
export type OptionValue<N extends OptionName> = ValueOf<Table[N]>;

/** The options of a command, resolved. */
export type Options<C extends Command = Command> = {
  readonly [N in OptionName as C extends Table[N]["commands"][number] ? N : never]: OptionValue<N>;
};
