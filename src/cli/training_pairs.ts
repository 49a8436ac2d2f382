/** The pairs that `train` learns from: all in memory, or read as training goes on. */
import type { Options } from "../config.ts";
import { auditInWords } from "../data/audit.ts";
import { parsePair } from "../data/examples.ts";
import type { PairFilter } from "../data/filter.ts";
import { filterInWords } from "../data/filter_report.ts";
import type { PreferencePair } from "../data/pairs.ts";
import { type DataOptions, RowPreparer } from "../data/prepare.ts";
import { readRows, sizesOf } from "../data/rows.ts";
import { treeTokens } from "../dpo/pack.ts";
import { openDataset } from "../platform/datasets.ts";
import { RowStream } from "../train/row_stream.ts";
import type { DataRecord } from "../train/run_record.ts";
import { plannedRows, type StepRows } from "../train/step_rows.ts";
import type { Context } from "./context.ts";
import {
  countsInWords,
  dataRecord,
  loadPairsFrom,
  mainDataset,
  shapeInWords,
  type StoredModel,
} from "./inputs.ts";
import { planOf, type TrainingRun } from "./training_run.ts";

/** What a training needs to know of its pairs. */
export interface TrainingPairs {
  /** What steps are made from: all pairs, or those of the newest step. */
  pairs: readonly PreferencePair[];
  plan: TrainingRun["plan"];
  rows: StepRows;
  /** There if the pairs are streamed. */
  stream?: RowStream<PreferencePair>;
  /** Tokens of each pair; of a stream the most that pairs of a batch may have. */
  units: number[];
  /** What became of the rows, so far. */
  record(): DataRecord;
  /** Lines of the header. */
  header(): string[];
}

/** @throws {UserError} If the dataset cannot be read or used. */
export async function openTrainingPairs(
  options: Options<"train">,
  model: StoredModel,
  data: DataOptions,
  context: Context<"train">,
): Promise<TrainingPairs> {
  const filter = await strongFilter(options, context);
  return options.streaming
    ? await streamPairs(options, model, { ...data, filter })
    : await loadTrainingPairs(options, model, {
      ...data,
      filter,
      maxRows: options.maxPairs === 0 ? undefined : options.maxPairs,
    });
}

async function loadTrainingPairs(
  options: Options<"train">,
  model: StoredModel,
  data: DataOptions,
): Promise<TrainingPairs> {
  const { pairs, counts, record } = await loadPairsFrom(mainDataset(options, "train"), model, data);
  const units = pairs.map(treeTokens);
  const tokens = units.reduce((sum, count) => sum + count, 0);
  const apart = pairs.reduce((sum, p) => sum + p.chosen.ids.length + p.rejected.ids.length, 0);
  const findings = auditInWords(record.audit);
  const plan = planOf(pairs.length, options);
  return {
    pairs,
    plan,
    rows: plannedRows(plan, options),
    units,
    record: () => record,
    header: () => [
      `data       ${options.dataset}: ${countsInWords(counts)}; ${shapeInWords(record)}`,
      ...pairs.length === options.maxPairs
        ? [`           the first ${options.maxPairs}, as --max-pairs asks; rows after them unread`]
        : [],
      ...record.filter ? [`filter     ${filterInWords(record.filter)}`] : [],
      ...findings === "" ? [] : [`audit      ${record.path}: ${findings}`],
      `encoding   ${record.encoding}`,
      `tokens     ${tokens}, with shared beginnings counted once; ${apart} without`,
    ],
  };
}

async function streamPairs(
  options: Options<"train">,
  { tokenizer }: StoredModel,
  data: DataOptions,
): Promise<TrainingPairs> {
  const named = mainDataset(options, "train");
  const dataset = await openDataset(named.path, named);
  const preparer = new RowPreparer((row) => parsePair(row, data), tokenizer, data);
  const { perDeviceTrainBatchSize: batchSize, gradientAccumulationSteps, shuffle, seed } = options;
  const rowsPerStep = batchSize * gradientAccumulationSteps;
  const bufferRows = shuffle ? options.shuffleBufferSize : 1;
  const stream = new RowStream(
    () => readRows(dataset),
    preparer,
    ([chosen, rejected], index): PreferencePair => ({ index, chosen, rejected }),
    { rowsPerStep, bufferRows, seed },
  );
  await stream.begin();
  const sizes = new TextEncoder().encode(JSON.stringify(await sizesOf(dataset)));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", sizes)).toHex();
  const record = () => {
    const { counts, format, encoding, unusedColumns } = preparer;
    return dataRecord(named, dataset, { counts, format, encoding, unusedColumns, hash }, data);
  };
  return {
    pairs: stream.rows,
    plan: { rowsPerStep, totalSteps: options.maxSteps },
    rows: stream,
    stream,
    units: Array.from({ length: batchSize }, () => 2 * data.maxLengthTokens),
    record,
    header: () => [
      `data       ${options.dataset}: streamed through ${bufferRows} rows, counted at the end, not audited; ${
        shapeInWords(record())
      }`,
      `encoding   ${preparer.encoding}`,
    ],
  };
}

/** The filter that the options ask for. One that only the preset asks for lets rows pass that have no text. */
async function strongFilter(
  options: Options<"train">,
  { resolved }: Context<"train">,
): Promise<PairFilter | undefined> {
  if (options.filter === "none") return undefined;
  // Loaded on demand: its tagger brings a lexicon.
  const { PairFilter } = await import("../data/filter.ts");
  const tokens = resolved.origins.filter.source === "preset" ? "keep" : "refuse";
  return new PairFilter(options, { tokens });
}
