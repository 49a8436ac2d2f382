/** The sequences that `sft` learns from: all in memory, or read as training goes on. */
import type { Options } from "../config.ts";
import { parseSequence } from "../data/examples.ts";
import type { DataOptions } from "../data/prepare.ts";
import { readRows } from "../data/rows.ts";
import { loadSequences, type TextRow } from "../data/sequences.ts";
import type { TokenSequence } from "../data/truncate.ts";
import { openDataset } from "../platform/datasets.ts";
import { plannedRows } from "../train/step_rows.ts";
import {
  countsInWords,
  dataRecord,
  mainDataset,
  type NamedDataset,
  shapeInWords,
  type StoredModel,
  unusedInWords,
} from "./inputs.ts";
import { type Shortcuts, withShortcuts } from "./shortcuts.ts";
import { streamRows } from "./streamed_rows.ts";
import { largestOf, planOf, type TrainingRows } from "./training_run.ts";

/** @throws {UserError} If the dataset cannot be read or used. */
export async function openTrainingSequences(
  options: Options<"sft">,
  model: Pick<StoredModel, "directory" | "tokenizer">,
  data: DataOptions,
  shortcuts: Shortcuts,
): Promise<TrainingRows<TextRow>> {
  if (options.streaming) {
    const { tokenizer } = model;
    const toRow = ([only]: TokenSequence[], index: number): TextRow => ({ index, ...only });
    return await streamRows(options, tokenizer, data, parseSequence, toRow, 1);
  }
  const named = mainDataset(options, "train");
  const { sequences, counts, record } = await loadSequencesFrom(named, model, data, shortcuts);
  const units = sequences.map(({ ids }) => ids.length);
  const tokens = units.reduce((sum, count) => sum + count, 0);
  const plan = planOf(sequences.length, options);
  const largest = largestOf(plan, units, options);
  return {
    rows: sequences,
    plan,
    order: plannedRows(plan, options),
    largest: {
      rows: largest.map((row) => sequences[row]),
      tokens: largest.map((row) => units[row]),
    },
    record: () => record,
    header: () => ({
      lines: [
        `data       ${options.dataset}: ${countsInWords(counts, "rows")}, ${tokens} tokens${
          unusedInWords(record)
        }`,
      ],
      details: [`format     ${shapeInWords(record)}`, `encoding   ${record.encoding}`],
    }),
  };
}

/** @throws {UserError} As `loadSequences`. */
export async function loadSequencesFrom(
  named: NamedDataset,
  { directory, tokenizer }: Pick<StoredModel, "directory" | "tokenizer">,
  data: DataOptions,
  shortcuts: Shortcuts,
) {
  const dataset = await openDataset(named.path, named);
  const { sequences, ...rest } = await withShortcuts(
    shortcuts,
    { path: named.path, dataset, directory, shape: "sequences" },
    data,
    (faster) => loadSequences(readRows(dataset), tokenizer, faster),
  );
  return { sequences, counts: rest.counts, record: dataRecord(named, dataset, rest, data) };
}
