// This module is browser compatible.
/** From the fields of a job to the options of `train`: OpenAI's few, and any other by its own name. */
import { type OptionName, type Options, type Resolved, resolveOptions } from "../config.ts";
import { OPTIONS } from "../config/options.ts";
import { findOption } from "../config/values.ts";
import { UserError } from "../errors.ts";

/** OpenAI's names; what is "auto" is missing. */
export interface Hyperparameters {
  beta?: number;
  batch_size?: number;
  n_epochs?: number;
  /** Of the learning rate that there would be without it. */
  learning_rate_multiplier?: number;
}

/** What a client asks for, by names. */
export interface JobRequest {
  /** A served model. */
  model: string;
  trainingFile: string;
  validationFile: string | null;
  hyperparameters: Hyperparameters;
  seed: number | null;
  suffix: string | null;
  metadata: Readonly<Record<string, string>> | null;
  /** Options of `train` by name, in any spelling. */
  options: Readonly<Record<string, unknown>>;
}

/** What the names stand for. */
export interface Places {
  model: string;
  dataset: string;
  evalDataset: string | null;
  output: string;
}

export type Device = Pick<Options<"serve">, "engine" | "adapter" | "precision">;

/** Options that a server sets itself: what it reads, where it writes, which device it has. */
const SERVERS: readonly OptionName[] = [
  ...["model", "reference", "dataset", "evalDataset", "output", "resume", "config"] as const,
  ...["cache", "cacheDir", "datasetNumProc", "engine", "adapter", "precision", "json"] as const,
  ...["pushToHub", "hubModelId", "hubPrivateRepo"] as const,
];

const OPTION_OF = {
  beta: "beta",
  batch_size: "perDeviceTrainBatchSize",
  n_epochs: "numTrainEpochs",
  learning_rate_multiplier: "learningRate",
} as const satisfies Record<keyof Hyperparameters, OptionName>;

/** Tokens that a batch may have room for: what one request can make the GPU hold is bounded. */
const MOST_BATCH_TOKENS = 2 ** 17;

const REQUEST = "the request";

/** @throws {UserError} If an option is the server's, or OpenAI's name for it is given too. */
export function checkHyperparameters({ options, hyperparameters, seed }: JobRequest): void {
  const taken = new Map<OptionName, string>(
    Object.keys(hyperparameters).map((name) => [OPTION_OF[name as keyof Hyperparameters], name]),
  );
  if (seed !== null) taken.set("seed", "seed");
  for (const spelling of Object.keys(options)) {
    const name = findOption("train", spelling, `"${spelling}" in ${REQUEST}`);
    if (SERVERS.includes(name)) {
      throw new UserError(`Expected no "${spelling}" in ${REQUEST}: the server sets it`);
    }
    if (taken.has(name)) {
      throw new UserError(`Expected one of "${spelling}" and "${taken.get(name)}", found both`);
    }
  }
}

/** @throws {UserError} As resolveOptions; and if a batch were too large. */
export function resolveJob(
  { options, hyperparameters, seed }: JobRequest,
  { model, dataset, evalDataset, output }: Places,
  { engine, adapter, precision }: Device,
): Resolved<"train"> {
  const { learning_rate_multiplier: multiplier, ...others } = hyperparameters;
  const given = Object.entries({
    // The shipped model has a learning rate of its own, where nobody names the model.
    model: model === OPTIONS.model.default ? null : model,
    dataset,
    evalDataset,
    output,
    adapter,
    seed,
  }).filter(([, value]) => value !== null);
  const flags: [string, unknown][] = [
    ...given,
    ["engine", engine],
    ["precision", precision],
    ["cache", false], // the server may not write there
    ...Object.entries(others).map(([name, value]): [string, unknown] => [
      OPTION_OF[name as keyof Hyperparameters],
      value,
    ]),
  ];
  const file = { name: REQUEST, content: options };
  let resolved = resolveOptions("train", { flags, file });
  if (multiplier !== undefined) {
    const rate = multiplier * resolved.options.learningRate;
    resolved = resolveOptions("train", { flags: [...flags, ["learningRate", rate]], file });
  }
  const { perDeviceTrainBatchSize, maxLength } = resolved.options;
  if (perDeviceTrainBatchSize * maxLength > MOST_BATCH_TOKENS) {
    throw new UserError(
      `Expected batch size times max_length of at most ${MOST_BATCH_TOKENS}, found ${perDeviceTrainBatchSize} times ${maxLength}`,
    );
  }
  return resolved;
}
