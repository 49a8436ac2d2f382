/** Models and datasets from the paths of a command line. */
import type { Options, Origin } from "../config.ts";
import { type Audit, auditPairs } from "../data/audit.ts";
import type { NamedColumns } from "../data/columns.ts";
import type { ParseOptions } from "../data/examples.ts";
import { loadPairs, type PairCounts, type PreferencePair } from "../data/pairs.ts";
import type { DataCounts, DataOptions, Prepared } from "../data/prepare.ts";
import { type Dataset, filesOf, readRows } from "../data/rows.ts";
import type { Checkpoint } from "../engine.ts";
import type { Directory } from "../formats/files.ts";
import { openDataset, type SplitChoice } from "../platform/datasets.ts";
import { identifyModel, openModelAt } from "../platform/models.ts";
import { loadTokenizer, type TextTokenizer } from "../text/tokenizer.ts";
import type { ModelIdentity } from "../train/identity.ts";
import type { DataRecord } from "../report/run_record.ts";
import type { Context } from "./context.ts";
import { type Shortcuts, withShortcuts } from "./shortcuts.ts";

/** A model directory, its files of weights open until it is disposed of. */
export interface StoredModel extends Checkpoint, Disposable {
  directory: Directory;
  tokenizer: TextTokenizer | null;
  /** What it is, by content; its weights are read once for it. */
  identity: () => Promise<ModelIdentity>;
}

/**
 * Opens a model and says how its weights are read, where that is not plain.
 *
 * @param pathOrId As `locateModel` takes it.
 * @throws {UserError} As `openModel`.
 */
export async function openStoredModel(
  pathOrId: string,
  { stderr }: Pick<Context, "stderr">,
): Promise<StoredModel> {
  const model = await openModelAt(pathOrId);
  for (const note of model.notes) stderr.write(`weights    ${note}\n`);
  const { config, directory } = model;
  try {
    const tokenizer = await loadTokenizer(directory);
    let identified: Promise<ModelIdentity> | undefined;
    const identity = () => identified ??= identifyModel(model);
    const [read, dispose] = [model.readChunks, model.close];
    return { config, read, directory, tokenizer, identity, [Symbol.dispose]: dispose };
  } catch (error) {
    model.close();
    throw error;
  }
}

type DataFlags =
  & Pick<Options<"score">, "maxLength" | "truncation" | "appendEos" | "tokenize">
  & Partial<ParseFlags & Pick<Options<"score">, "maxTruncatedShare">>;

type ParseFlags = Pick<Options<"score">, `${keyof NamedColumns}Column` | "promptBoundary">;

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
  };
}

export function dataOptions(
  flags: DataFlags,
  { config }: Pick<Checkpoint, "config">,
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
  };
}

/** Pairs, with what a run's record says about them. */
export interface LoadedPairs {
  pairs: PreferencePair[];
  counts: PairCounts;
  record: DataRecord & { audit: Audit };
}

/** A dataset as a command line names it, and what it is for. */
export interface NamedDataset extends SplitChoice {
  path: string;
  role: "train" | "eval" | "score";
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

/** The held-out dataset of a training, or null. */
export function heldOutDataset(
  { evalDataset, evalDatasetConfig, evalDatasetSplit }: Pick<
    Options<"train">,
    "evalDataset" | "evalDatasetConfig" | "evalDatasetSplit"
  >,
): NamedDataset | null {
  if (evalDataset === null) return null;
  const choice = { config: evalDatasetConfig, split: evalDatasetSplit, preferred: "test" };
  return { path: evalDataset, ...choice, role: "eval" };
}

/**
 * @param training The data that held-out pairs must not be among.
 * @throws {UserError} As `loadPairs`.
 */
export async function loadPairsFrom(
  named: NamedDataset,
  { tokenizer, directory }: Pick<StoredModel, "tokenizer" | "directory">,
  options: DataOptions,
  shortcuts: Shortcuts,
  training?: readonly PreferencePair[],
): Promise<LoadedPairs> {
  const dataset = await openDataset(named.path, named);
  const source = { path: named.path, dataset, directory, shape: "pairs" } as const;
  const { pairs, ...rest } = await withShortcuts(
    shortcuts,
    source,
    options,
    (faster) => loadPairs(readRows(dataset), tokenizer, faster),
  );
  const audit = auditPairs(pairs, rest.counts, training);
  const record = { ...dataRecord(named, dataset, rest, options), audit };
  return { pairs, counts: rest.counts, record };
}

/** What a run's record says of a dataset. */
export function dataRecord(
  { role, path }: NamedDataset,
  dataset: Dataset,
  { format, encoding, hash, unusedColumns, counts }: Omit<Prepared<unknown>, "rows">,
  options: DataOptions,
): DataRecord {
  const filter = options.filter?.report();
  const files = filesOf(dataset);
  return {
    role,
    path,
    files,
    format,
    encoding,
    unusedColumns,
    hash,
    counts: { ...counts },
    filter,
  };
}

/** The columns that go unused, to follow something else in a line. */
export function unusedInWords({ unusedColumns }: DataRecord): string {
  return unusedColumns.length > 0 ? `; not used: ${unusedColumns.join(", ")}` : "";
}

/** The shape of a dataset's rows, in words, and its files where its name does not tell them. */
export function shapeInWords({ format, files, path }: DataRecord): string {
  return [
    format,
    ...files.length > 1 || !files[0].endsWith(path) ? [`from ${filesInWords(files)}`] : [],
  ].join("; ");
}

function filesInWords(files: readonly string[]): string {
  const [first, second, ...others] = files;
  if (others.length > 1) return `${files.length} files, ${first} to ${files.at(-1)}`;
  return [first, second, ...others].filter(Boolean).join(", ");
}

/** The loss, and why its scores are what they are where the user did not say. */
export function lossInWords(
  { lossType, beta, logprob, score }: Pick<
    Options<"eval">,
    "lossType" | "beta" | "logprob" | "score"
  >,
  { logprob: origin }: Readonly<Record<string, Origin>>,
): string {
  const because = origin.source === "automatic" ? ` (${origin.detail})` : "";
  return `${lossType}, beta ${beta}, ${logprob} over ${score} tokens${because}`;
}

/** What was kept, cut and dropped, in words; only what happened. */
export function countsInWords(
  { rows, kept, ...others }: DataCounts & Partial<PairCounts>,
  unit: "pairs" | "rows" = "pairs",
): string {
  const words: Record<keyof typeof others, string> = {
    filtered: "rejected by the filter",
    droppedPromptTooLong: "dropped (prompt fills the length)",
    droppedTooLong: "dropped (too long)",
    droppedEmptyCompletion: "dropped (empty completion)",
    truncatedRows: "rows cut",
    truncatedTokens: "tokens cut",
    boundaryMerged: "rows split at the common token prefix",
    identicalPairs: "identical pairs",
  };
  const happened = Object.entries(others).filter(([, count]) => count > 0)
    .map(([name, count]) => `${count} ${words[name as keyof typeof others]}`);
  return [`${kept} of ${rows} ${unit}`, ...happened].join(", ");
}
