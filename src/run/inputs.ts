// This module is browser compatible.
/** Models and datasets from the options of a run. */
import type { Options } from "../config/resolve.ts";
import { isAnswerRow } from "../data/answer_rows.ts";
import { type Audit, auditPairs } from "../data/audit.ts";
import type { NamedColumns } from "../data/columns.ts";
import type { ParseOptions } from "../data/examples.ts";
import { loadAnswers } from "../data/answers.ts";
import { loadPairs, type PreferencePair } from "../data/pairs.ts";
import type { DataOptions } from "../data/prepare.ts";
import type { Prepared } from "../data/prepared.ts";
import { type Dataset, filesOf, readRows } from "../data/rows.ts";
import type { SplitChoice } from "../data/source.ts";
import { answersOf, takesMargins, takesWeights } from "../losses/losses.ts";
import type { Checkpoint } from "../model/load.ts";
import type { DataRecord } from "../report/run_record.ts";
import { type Caches, withCaches } from "./caches.ts";
import type { Emit } from "./events.ts";
import type { Ports, StoredModel } from "./ports.ts";

/**
 * Opens a model and says how its weights are read, where that is not plain.
 *
 * @throws {UserError} As {@link Ports.openModel}.
 */
export async function openModel(
  path: string,
  ports: Pick<Ports, "openModel">,
  emit: Emit,
): Promise<StoredModel> {
  const model = await ports.openModel(path);
  for (const text of model.notes) emit({ type: "noted", subject: "weights", text });
  return model;
}

type DataFlags =
  & Pick<Options<"score">, "maxLength" | "truncation" | "appendEos" | "tokenize">
  & Partial<ParseFlags & Pick<Options<"score">, "maxTruncatedShare">>;

type ParseFlags =
  & Pick<
    Options<"score">,
    | `${keyof NamedColumns | "margin" | "weight"}Column`
    | "promptBoundary"
    | "rankedPairs"
  >
  & Pick<Options<"train">, "lossType" | "lossWeights">;

/** Answers that TRL trains and evaluates together, where nobody says how many. */
const USUAL_BATCH = 8;

/** How preference data is to be understood. */
export function parseOptions(flags: Partial<ParseFlags>): ParseOptions {
  return {
    columns: {
      prompt: flags.promptColumn,
      chosen: flags.chosenColumn,
      rejected: flags.rejectedColumn,
      system: flags.systemColumn,
    },
    promptBoundary: flags.promptBoundary,
    rankedPairs: flags.rankedPairs,
    terms: termColumns(flags),
    answers: answersOfLoss(flags),
  };
}

/** What a loss of single answers needs of other ones, if one is asked for. */
function answersOfLoss(
  { lossType, lossWeights = null }: Partial<ParseFlags>,
): DataOptions["answers"] {
  return lossType === undefined ? undefined : answersOf({ lossType, lossWeights }) ?? undefined;
}

/** How a dataset is read where no loss says whether its rows are pairs or single answers: the first one does. */
export async function readAsFirstRow(
  named: NamedDataset,
  options: DataOptions,
  ports: Pick<Ports, "openDataset">,
): Promise<DataOptions> {
  for await (const row of readRows(await ports.openDataset(named.path, named))) {
    return isAnswerRow(row, options) ? { ...options, answers: "alone" } : options;
  }
  return options;
}

/** Where margins and weights are, and which of them the loss has no use for, where there is one. */
function termColumns(
  { marginColumn: margin, weightColumn: weight, lossType, lossWeights = null }: Partial<ParseFlags>,
): ParseOptions["terms"] {
  if (margin === undefined || weight === undefined) return undefined;
  if (lossType === undefined) return { margin, weight, refused: {} };
  const objective = { lossType, lossWeights };
  const refused = {
    ...takesMargins(objective) ? {} : { margin: lossType },
    ...takesWeights(objective) ? {} : { weight: lossType },
  };
  return { margin, weight, refused };
}

export function dataOptions(
  flags: DataFlags,
  { config, stopIds }: Pick<Checkpoint, "config"> & Partial<Pick<StoredModel, "stopIds">>,
  score: DataOptions["score"],
): DataOptions {
  const { maxLength, truncation, appendEos, tokenize, maxTruncatedShare } = flags;
  return {
    ...parseOptions(flags),
    // A model has seen no longer sequences than this; what it costs in tokens is counted like every other cut.
    maxLengthTokens: Math.min(maxLength, config.maxPositionEmbeddings),
    truncation,
    maxTruncatedShare,
    tokenize,
    appendEos,
    score,
    vocabSize: config.vocabSize,
    stopIds,
  };
}

/** Pairs, with what a run's record says about them. */
export interface LoadedPairs {
  pairs: PreferencePair[];
  record: DataRecord & { audit: Audit };
}

/** A dataset as the options name it, and what it is for. */
export interface NamedDataset extends SplitChoice {
  path: string;
  /** Of one of several held-out sets: its name. */
  set?: string;
  role: "train" | "eval" | "score";
  /** Rows that are trained together. */
  together?: number;
}

/** The dataset that a command works on. */
export function mainDataset(
  { dataset, datasetConfig, datasetSplit }: Pick<
    Options<"score">,
    "dataset" | "datasetConfig" | "datasetSplit"
  >,
  role: NamedDataset["role"],
): NamedDataset {
  const preferred = role === "train" ? "train" : "test";
  return { path: dataset, config: datasetConfig, split: datasetSplit, preferred, role };
}

/** The held-out datasets of a training. One without a name has none in its metrics either. */
export function heldOutDatasets(
  { evalDataset, evalDatasetConfig, evalDatasetSplit }: Pick<
    Options<"train">,
    "evalDataset" | "evalDatasetConfig" | "evalDatasetSplit"
  >,
): NamedDataset[] {
  if (evalDataset === null) return [];
  const rest = {
    config: evalDatasetConfig,
    split: evalDatasetSplit,
    preferred: "test",
    role: "eval",
  } as const;
  if (typeof evalDataset === "string") return [{ path: evalDataset, ...rest }];
  return Object.entries(evalDataset).map(([set, path]) => ({ path, set, ...rest }));
}

/** The metrics of a held-out set under the names that transformers gives them: `eval_NAME_loss` of a set with a name. */
export function metricsOfSet(
  set: string | undefined,
  metrics: Readonly<Record<string, number>>,
): Record<string, number> {
  if (set === undefined) return { ...metrics };
  return Object.fromEntries(
    Object.entries(metrics).map(([name, value]) => [name.replace(/^eval_/, `eval_${set}_`), value]),
  );
}

/**
 * @param training The data that held-out pairs must not be among.
 * @throws {UserError} As `loadPairs`.
 */
export async function loadPairsFrom(
  named: NamedDataset,
  { tokenizer, directory }: Pick<StoredModel, "tokenizer" | "directory">,
  options: DataOptions,
  caches: Caches,
  training?: readonly PreferencePair[],
): Promise<LoadedPairs> {
  const dataset = await caches.ports.openDataset(named.path, named);
  const source = { path: named.path, dataset, directory, shape: "pairs" } as const;
  const { pairs, ...rest } = await withCaches(
    caches,
    source,
    options,
    (faster) => {
      const { answers } = options;
      if (answers === undefined) return loadPairs(readRows(dataset), tokenizer, faster);
      const together = answers === "mismatched" ? named.together ?? USUAL_BATCH : null;
      return loadAnswers(readRows(dataset), tokenizer, faster, { together });
    },
  );
  const audit = auditPairs(pairs, rest.counts, training);
  const record = { ...dataRecord(named, dataset, rest, options), audit };
  return { pairs, record };
}

/** What a run's record says of a dataset. */
export function dataRecord(
  { role, path, set }: NamedDataset,
  dataset: Dataset,
  { format, translated, encoding, hash, unusedColumns, counts }: Omit<Prepared<unknown>, "rows">,
  options: DataOptions,
): DataRecord {
  const filter = options.filter?.report();
  const files = filesOf(dataset);
  return {
    role,
    path,
    ...set === undefined ? {} : { set },
    files,
    format,
    ...translated ? { translated } : {},
    encoding,
    unusedColumns,
    hash,
    counts: { ...counts },
    filter,
  };
}
