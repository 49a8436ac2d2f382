// This module is browser compatible.
/** From the fields of a job to the options of `train` or `eval`: OpenAI's few, and any other by its own name. */
import {
  type Command,
  type OptionName,
  type Options,
  type Resolved,
  resolveOptions,
} from "../config/resolve.ts";
import { OPTIONS } from "../config/options.ts";
import { findOption, specOf } from "../config/values.ts";
import { UserError } from "../errors.ts";

/** OpenAI's names; what is "auto" is missing. */
export interface Hyperparameters {
  beta?: number;
  batch_size?: number;
  n_epochs?: number;
  /** Of the learning rate that there would be without it. */
  learning_rate_multiplier?: number;
}

/** Options by name, in any spelling, as a client gives them. */
export type GivenOptions = Readonly<Record<string, unknown>>;

/** What a client asks to be trained with. */
export interface TrainingChoices {
  hyperparameters: Hyperparameters;
  seed: number | null;
  options: GivenOptions;
}

/** What the names of a training's request stand for. */
export interface TrainingPlaces {
  model: string;
  dataset: string;
  /** Several ones by name. */
  evalDataset: string | Readonly<Record<string, string>> | null;
  /** null: a new folder. */
  output: string | null;
}

/** What the names of an evaluation's request stand for. */
export interface EvaluationPlaces {
  model: string;
  reference: string | null;
  dataset: string;
}

export type DeviceOptions = Pick<Options<"serve">, "engine" | "adapter" | "precision">;

const OPTION_OF = {
  beta: "beta",
  batch_size: "perDeviceTrainBatchSize",
  n_epochs: "numTrainEpochs",
  learning_rate_multiplier: "learningRate",
} as const satisfies Record<keyof Hyperparameters, OptionName>;

/** Tokens that a batch may have room for: what one request can make the GPU hold is bounded. */
const MOST_BATCH_TOKENS = 2 ** 17;

const REQUEST = "the request";

/**
 * @throws {UserError} As resolveOptions; if an option is the server's, or OpenAI's name for it is given too; and if a batch were
 * too large.
 */
export function resolveTraining(
  { options, hyperparameters, seed }: TrainingChoices,
  { model, ...places }: TrainingPlaces,
  device: DeviceOptions,
): Resolved<"train"> {
  const taken = new Map<OptionName, string>(
    Object.keys(hyperparameters).map((name) => [OPTION_OF[name as keyof Hyperparameters], name]),
  );
  if (seed !== null) taken.set("seed", "seed");
  checkOptions("train", options, taken);

  const { learning_rate_multiplier: multiplier, ...others } = hyperparameters;
  const flags = flagsOf({
    // The shipped model has a learning rate of its own, where nobody names the model.
    model: model === OPTIONS.model.default ? null : model,
    ...places,
    seed,
    ...deviceFlags(device),
    ...Object.fromEntries(
      Object.entries(others).map(([name, value]) => [
        OPTION_OF[name as keyof Hyperparameters],
        value,
      ]),
    ),
  });
  const file = { name: REQUEST, content: options };
  let resolved = resolveOptions("train", { flags, file });
  if (multiplier !== undefined) {
    const rate = multiplier * resolved.options.learningRate;
    resolved = resolveOptions("train", { flags: [...flags, ["learningRate", rate]], file });
  }
  checkBatch(resolved.options.perDeviceTrainBatchSize, resolved.options.maxLength);
  return resolved;
}

/** @throws {UserError} As {@link resolveTraining}. */
export function resolveEvaluation(
  options: GivenOptions,
  places: EvaluationPlaces,
  device: DeviceOptions,
): Resolved<"eval"> {
  checkOptions("eval", options, new Map());
  const flags = flagsOf({ ...places, json: true, ...deviceFlags(device) });
  const resolved = resolveOptions("eval", { flags, file: { name: REQUEST, content: options } });
  checkBatch(1, resolved.options.maxLength);
  return resolved;
}

/** The server may not write to a cache. */
function deviceFlags({ engine, adapter, precision }: DeviceOptions) {
  return { engine, adapter, precision, cache: false };
}

function flagsOf(values: Record<string, unknown>): [string, unknown][] {
  return Object.entries(values).filter(([, value]) => value !== null);
}

/** @param taken Options that the request has under other names. */
function checkOptions(
  command: Command,
  options: GivenOptions,
  taken: ReadonlyMap<OptionName, string>,
): void {
  for (const spelling of Object.keys(options)) {
    const name = findOption(command, spelling, `"${spelling}" in ${REQUEST}`);
    if (specOf(name).jobs === "server") {
      throw new UserError(`Expected no "${spelling}" in ${REQUEST}: the server sets it`);
    }
    if (taken.has(name)) {
      throw new UserError(`Expected one of "${spelling}" and "${taken.get(name)}", found both`);
    }
  }
}

function checkBatch(rows: number, maxLength: number): void {
  if (rows * maxLength <= MOST_BATCH_TOKENS) return;
  throw new UserError(
    `Expected batch size times max_length of at most ${MOST_BATCH_TOKENS}, found ${rows} times ${maxLength}`,
  );
}
