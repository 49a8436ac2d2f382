// This module is browser compatible.

import { UserError } from "../errors.ts";
import type { Directory, FileReader } from "../formats/files.ts";
import { describe, isObject, parseJson } from "../formats/json.ts";
import { type LineLimits, readLines } from "../formats/lines.ts";
import { countParquetRows, readParquet } from "../formats/parquet.ts";
import { needsCount, type Slice, sliceBounds } from "./slice.ts";

/** A file with rows. */
export interface DatasetFile {
  directory: Directory;
  name: string;
}

/** Files in their order, and which of their rows are meant. */
export interface DatasetPart {
  files: readonly DatasetFile[];
  slice: Slice | null;
}

/** Where rows come from: parts, one after the other. */
export type Dataset = readonly DatasetPart[];

/** The paths of a dataset's files. */
export function filesOf(dataset: Dataset): string[] {
  return dataset.flatMap(({ files }) => files.map(pathOf));
}

/** Names and sizes in bytes of a dataset's files: enough to notice that it is another one, without reading it. */
export async function sizesOf(dataset: Dataset): Promise<[name: string, bytes: number][]> {
  const files = dataset.flatMap(({ files }) => files);
  const sizeOf = async (file: DatasetFile): Promise<[string, number]> => [
    file.name,
    await withOpen(file, ({ size }) => size),
  ];
  return await Promise.all(files.map(sizeOf));
}

/** One row of a dataset. */
export interface DatasetRow {
  /** File and line (where there are no lines: row), as messages name it. */
  where: string;
  value: Record<string, unknown>;
}

/** Limits on what a file may demand. */
export interface RowLimits extends LineLimits {
  /** Largest `.json` file, which has to be read whole. */
  maxJsonBytes: number;
}

const LIMITS: RowLimits = {
  maxLineLength: 16 << 20,
  maxJsonBytes: 256 << 20,
  freeInflatedBytes: 64 << 20,
  // Text rarely shrinks by more than 20 times; gzip reaches 1,032.
  maxInflation: 200,
};

const SUFFIXES = [".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".parquet"] as const;

/** The files that hold rows, in words. */
export const HOLD_ROWS = SUFFIXES.join(", ");

/** @returns The ending that says how a file holds rows; null if it holds none. */
export function rowSuffix(name: string): typeof SUFFIXES[number] | null {
  return SUFFIXES.find((suffix) => name.endsWith(suffix)) ?? null;
}

/**
 * Reads the rows of a dataset one by one, in constant memory but for `.json` files and the row groups of Parquet.
 *
 * @throws {UserError} If a file is missing or malformed; the message names file and line.
 */
export async function* readRows(
  dataset: Dataset,
  limits: RowLimits = LIMITS,
): AsyncGenerator<DatasetRow> {
  for (const { files, slice } of dataset) {
    if (slice === null) {
      yield* readFiles(files, limits);
      continue;
    }
    const count = needsCount(slice) ? await countRows(files, limits) : 0;
    const { begin, end } = sliceBounds(slice, count);
    if (begin >= end) continue;
    let index = 0;
    for await (const row of readFiles(files, limits)) {
      if (index >= begin) yield row;
      if (++index >= end) break;
    }
  }
}

/** As {@link readRows}, but a row of each part in turn, until all have ended: for rows that are used as they come. */
export async function* readRowsInTurn(
  dataset: Dataset,
  limits: RowLimits = LIMITS,
): AsyncGenerator<DatasetRow> {
  let readers = dataset.map((part) => readRows([part], limits));
  try {
    while (readers.length > 0) {
      const ended = new Set<AsyncGenerator<DatasetRow>>();
      for (const reader of readers) {
        const { value, done } = await reader.next();
        if (done) ended.add(reader);
        else yield value;
      }
      readers = readers.filter((reader) => !ended.has(reader));
    }
  } finally {
    for (const reader of readers) await reader.return(undefined);
  }
}

async function* readFiles(
  files: readonly DatasetFile[],
  limits: RowLimits,
): AsyncGenerator<DatasetRow> {
  for (const file of files) {
    const path = pathOf(file);
    switch (rowSuffix(file.name)) {
      case ".json":
        yield* readJson(file, path, limits);
        break;
      case ".parquet":
        yield* readTable(file, path);
        break;
      case null:
        throw new UserError(
          `Cannot read ${path}: expected a dataset ending in ${HOLD_ROWS}; convert it to .jsonl`,
        );
      default:
        yield* readJsonLines(file, path, limits);
    }
  }
}

/** Reads all files but Parquet, which has the number of its rows in its end. */
async function countRows(files: readonly DatasetFile[], limits: RowLimits): Promise<number> {
  let count = 0;
  for (const file of files) {
    if (rowSuffix(file.name) === ".parquet") {
      count += await withOpen(file, (open) => countParquetRows(open, pathOf(file)));
    } else {
      for await (const _row of readFiles([file], limits)) count++;
    }
  }
  return count;
}

function pathOf({ directory, name }: DatasetFile): string {
  return `${directory.name}/${name}`;
}

async function* readJson(
  { directory, name }: DatasetFile,
  path: string,
  limits: RowLimits,
): AsyncGenerator<DatasetRow> {
  const { size } = await withOpen({ directory, name }, (file) => file);
  if (size > limits.maxJsonBytes) {
    throw new UserError(
      `Cannot read ${path}: expected at most ${limits.maxJsonBytes} bytes, found ${size}; convert it to .jsonl`,
    );
  }
  const rows = parseJson(await directory.readText(name), path);
  if (!Array.isArray(rows)) {
    throw new UserError(`Cannot read ${path}: expected a list of rows, found ${describe(rows)}`);
  }
  for (const [i, row] of rows.entries()) yield checkRow(row, `${path}, row ${i + 1}`);
}

async function* readTable(
  { directory, name }: DatasetFile,
  path: string,
): AsyncGenerator<DatasetRow> {
  const file = await directory.open(name);
  try {
    let row = 0;
    for await (const value of readParquet(file, path)) {
      row++;
      yield { where: `${path}, row ${row}`, value };
    }
  } finally {
    file.close();
  }
}

async function* readJsonLines(
  { directory, name }: DatasetFile,
  path: string,
  limits: RowLimits,
): AsyncGenerator<DatasetRow> {
  const file = await directory.open(name);
  try {
    const compression = name.endsWith(".gz") ? "gzip" : name.endsWith(".zst") ? "zstd" : null;
    let line = 0;
    for await (const text of readLines(file, compression, path, limits)) {
      line++;
      if (text.trim() === "") continue;
      const where = `${path}, line ${line}`;
      yield checkRow(parseJson(text, where), where);
    }
  } finally {
    file.close();
  }
}

async function withOpen<T>(
  { directory, name }: DatasetFile,
  action: (file: FileReader) => Promise<T> | T,
): Promise<T> {
  const file = await directory.open(name);
  try {
    return await action(file);
  } finally {
    file.close();
  }
}

function checkRow(value: unknown, where: string): DatasetRow {
  if (isObject(value)) return { where, value };
  throw new UserError(`Cannot read ${where}: expected a JSON object, found ${describe(value)}`);
}
