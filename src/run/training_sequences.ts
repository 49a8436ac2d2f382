// This module is browser compatible.
/** The sequences that `sft` learns from: all in memory, or read as training goes on. */
import type { Options } from "../config/resolve.ts";
import { parseSequence } from "../data/text_rows.ts";
import type { DataOptions } from "../data/prepare.ts";
import { readRows } from "../data/rows.ts";
import { loadSequences, type TextRow } from "../data/sequences.ts";
import type { PreparedRow } from "../data/prepared.ts";
import { plannedRows } from "../train/step_rows.ts";
import { type Caches, withCaches } from "./caches.ts";
import { dataRecord, mainDataset, type NamedDataset } from "./inputs.ts";
import type { StoredModel } from "./ports.ts";
import { streamRows } from "./streamed_rows.ts";
import { largestOf, planOf, type TrainingRows } from "./training_run.ts";

/** @throws {UserError} If the dataset cannot be read or used. */
export async function openTrainingSequences(
  options: Options<"sft">,
  model: Pick<StoredModel, "directory" | "tokenizer">,
  data: DataOptions,
  caches: Caches,
): Promise<TrainingRows<TextRow>> {
  if (options.streaming) {
    const toRow = ({ index, sequences: [only] }: PreparedRow): TextRow => ({ index, ...only });
    return await streamRows(options, model.tokenizer, data, {
      parse: parseSequence,
      toRows: (step) => step.map(toRow),
      most: { sequences: 1, toRow },
    }, caches.ports);
  }
  const named = mainDataset(options, "train");
  const { sequences, record } = await loadSequencesFrom(named, model, data, caches);
  const units = sequences.map(({ ids }) => ids.length);
  const tokens = units.reduce((sum, count) => sum + count, 0);
  const plan = planOf(sequences.length, options);
  return {
    rows: sequences,
    plan,
    order: plannedRows(plan, options),
    largest: largestOf(sequences, units, plan, options),
    data: () => ({ record, tokens: { together: tokens, apart: tokens }, bufferRows: null }),
  };
}

/** @throws {UserError} As `loadSequences`. */
export async function loadSequencesFrom(
  named: NamedDataset,
  { directory, tokenizer }: Pick<StoredModel, "directory" | "tokenizer">,
  data: DataOptions,
  caches: Caches,
) {
  const dataset = await caches.ports.openDataset(named.path, named);
  const { sequences, ...rest } = await withCaches(
    caches,
    { path: named.path, dataset, directory, shape: "sequences" },
    data,
    (faster) => loadSequences(readRows(dataset), tokenizer, faster),
  );
  return { sequences, record: dataRecord(named, dataset, rest, data) };
}
