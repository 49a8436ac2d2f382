// This module is browser compatible.
/** The pairs that `train` learns from: all in memory, or read as training goes on. */
import type { Options, Resolved } from "../config/resolve.ts";
import { parsePreference } from "../data/answer_rows.ts";
import { countsOfAnswers, pairedAnswers, takenApart } from "../data/answers.ts";
import type { PairFilter } from "../data/filter.ts";
import { pairOf, type PreferencePair } from "../data/pairs.ts";
import type { DataOptions } from "../data/prepare.ts";
import type { PreparedRow } from "../data/prepared.ts";
import type { DatasetRow } from "../data/rows.ts";
import { treeTokens } from "../dpo/pack.ts";
import { plannedRows } from "../train/step_rows.ts";
import type { Caches } from "./caches.ts";
import { loadPairsFrom, mainDataset } from "./inputs.ts";
import type { StoredModel } from "./ports.ts";
import { type StreamedKind, streamRows } from "./streamed_rows.ts";
import { largestOf, planOf, type TrainingRows } from "./training_run.ts";

/** @throws {UserError} If the dataset cannot be read or used. */
export async function openTrainingPairs(
  resolved: Resolved<"train">,
  model: StoredModel,
  data: DataOptions,
  caches: Caches,
): Promise<TrainingRows<PreferencePair>> {
  const { options } = resolved;
  const filter = await strongFilter(resolved);
  return options.streaming
    ? await streamRows(
      options,
      model.tokenizer,
      { ...data, filter },
      streamedKind(data, options.perDeviceTrainBatchSize),
      caches.ports,
    )
    : await loadTrainingPairs(options, model, {
      ...data,
      filter,
      maxRows: options.maxPairs === 0 ? undefined : options.maxPairs,
    }, caches);
}

/** @param together Rows that are trained together. */
function streamedKind(data: DataOptions, together: number): StreamedKind<PreferencePair> {
  const parse = (row: DatasetRow) => parsePreference(row, data);
  const { answers, maxLengthTokens } = data;
  if (answers === undefined) {
    return {
      parse,
      toRows: (step) => step.map(pairOf),
      most: { sequences: 2, toRow: pairOf },
    };
  }
  const paired = (rows: readonly PreparedRow[]) =>
    pairedAnswers(rows, answers === "alone" ? null : together, maxLengthTokens);
  return {
    parse,
    apart: (row) => takenApart([row]),
    toRows: paired,
    most: answers === "alone"
      ? { sequences: 1, toRow: (row) => paired([row])[0] }
      : { sequences: 2, toRow: pairOf },
    countsOf: (counts, { completions }) => countsOfAnswers(counts, completions),
  };
}

async function loadTrainingPairs(
  options: Options<"train">,
  model: StoredModel,
  data: DataOptions,
  caches: Caches,
): Promise<TrainingRows<PreferencePair>> {
  const named = {
    ...mainDataset(options, "train"),
    together: options.perDeviceTrainBatchSize,
  };
  const { pairs, record } = await loadPairsFrom(named, model, data, caches);
  const units = pairs.map(treeTokens);
  const together = units.reduce((sum, count) => sum + count, 0);
  const apart = pairs.reduce((sum, p) => sum + p.chosen.ids.length + p.rejected.ids.length, 0);
  const plan = planOf(pairs.length, options);
  return {
    rows: pairs,
    plan,
    order: plannedRows(plan, options),
    largest: largestOf(pairs, units, plan, options),
    data: () => ({ record, tokens: { together, apart }, bufferRows: null }),
  };
}

/** The filter that the options ask for. One that only the preset asks for lets rows pass that have no text. */
export async function strongFilter(
  { options, origins }: Pick<Resolved<"train">, "options" | "origins">,
): Promise<PairFilter | undefined> {
  if (options.filter === "none") return undefined;
  // Loaded on demand: its tagger brings a lexicon.
  const { PairFilter } = await import("../data/filter.ts");
  const tokens = origins.filter.source === "preset" ? "keep" : "refuse";
  return new PairFilter(options, { tokens });
}
