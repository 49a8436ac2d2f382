/** Models and datasets from the paths of a command line. */
import type { Options } from "../config.ts";
import { loadPairs, type PairCounts, type PreferencePair } from "../data/pairs.ts";
import type { DataOptions } from "../data/prepare.ts";
import { readRows } from "../data/rows.ts";
import type { Checkpoint } from "../engine.ts";
import type { Directory } from "../formats/files.ts";
import { openModel } from "../model/directory.ts";
import { openDataset, openDirectory } from "../platform/files.ts";
import { loadTokenizer, type TextTokenizer } from "../text/tokenizer.ts";
import type { DataRecord } from "../train/run_record.ts";

/** A model directory, open. */
export interface StoredModel extends Checkpoint {
  directory: Directory;
  tokenizer: TextTokenizer | null;
}

/** @throws {UserError} As `openModel`. */
export async function openStoredModel(path: string): Promise<StoredModel> {
  const directory = await openDirectory(path);
  const model = await openModel(directory);
  const tokenizer = await loadTokenizer(directory);
  return { config: model.config, read: (name) => model.readFloat32(name), directory, tokenizer };
}

type DataFlags = Pick<Options<"score">, "maxLength" | "truncation" | "appendEos">;

export function dataOptions(
  { maxLength, truncation, appendEos }: DataFlags,
  { config }: Pick<Checkpoint, "config">,
  score: DataOptions["score"],
): DataOptions {
  return {
    // A model has seen no longer sequences than this; what it costs in tokens is counted like every other cut.
    maxLengthTokens: Math.min(maxLength, config.maxPositionEmbeddings),
    truncation,
    appendEos,
    score,
    vocabSize: config.vocabSize,
  };
}

/** Pairs, with what a run's record says about them. */
export interface LoadedPairs {
  pairs: PreferencePair[];
  counts: PairCounts;
  record: DataRecord;
}

/** @throws {UserError} As `loadPairs`. */
export async function loadPairsFrom(
  path: string,
  role: string,
  { tokenizer }: Pick<StoredModel, "tokenizer">,
  options: DataOptions,
): Promise<LoadedPairs> {
  const { pairs, counts, format, hash } = await loadPairs(
    readRows(await openDataset(path)),
    tokenizer,
    options,
  );
  const filter = options.filter?.report();
  return { pairs, counts, record: { role, path, format, hash, counts: { ...counts }, filter } };
}

/** What was kept, cut and dropped, in words; only what happened. */
export function countsInWords({ rows, kept, ...others }: PairCounts): string {
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
  return [`${kept} of ${rows} pairs`, ...happened].join(", ");
}
