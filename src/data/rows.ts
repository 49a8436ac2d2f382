// This module is browser compatible.

import { UserError } from "../errors.ts";
import { readCsv } from "../formats/csv.ts";
import type { Directory, FileReader } from "../formats/files.ts";
import { describe, isObject, parsePythonJson } from "../formats/json.ts";
import { type Compression, type LineLimits, readLines, readText } from "../formats/lines.ts";
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
  /** Most characters of a list of rows, which has to be read whole. */
  maxListLength: number;
}

const LIMITS: RowLimits = {
  maxLineLength: 16 << 20,
  maxListLength: 256 << 20,
  freeInflatedBytes: 64 << 20,
  // Text rarely shrinks by more than 20 times; gzip reaches 1,032.
  maxInflation: 200,
};

const TEXT_SUFFIXES = [".jsonl", ".ndjson", ".json", ".csv", ".tsv"];
const COMPRESSED: ReadonlyMap<string, Compression> = new Map([[".gz", "gzip"], [".zst", "zstd"]]);

/** The files that hold rows, in words. */
export const HOLD_ROWS = `${[...TEXT_SUFFIXES, ".parquet"].join(", ")} (text also with ${
  [...COMPRESSED.keys()].join(" or ")
})`;

/** How a file holds rows. */
interface RowForm {
  form: "json" | "table" | "parquet";
  compression: Compression | null;
}

/** @returns The ending that says how a file holds rows, in lower case; null if it holds none. */
export function rowSuffix(name: string): string | null {
  const [, text, packed = ""] = /(\.[^./\\]+?)(\.gz|\.zst)?$/.exec(name.toLowerCase()) ?? [];
  if (text === ".parquet") return packed === "" ? text : null;
  return TEXT_SUFFIXES.includes(text) ? text + packed : null;
}

function formOf(suffix: string): RowForm {
  if (suffix === ".parquet") return { form: "parquet", compression: null };
  const form = /^\.[ct]sv/.test(suffix) ? "table" : "json";
  return { form, compression: COMPRESSED.get(suffix.replace(/^\.[^.]+/, "")) ?? null };
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
    const suffix = rowSuffix(file.name);
    if (suffix === null) {
      throw new UserError(
        `Cannot read ${path}: expected a dataset ending in ${HOLD_ROWS}; convert it to .jsonl`,
      );
    }
    const { form, compression } = formOf(suffix);
    const open = await file.directory.open(file.name);
    try {
      if (form === "parquet") yield* readTable(open, path);
      else if (form === "json") yield* readJson(open, compression, path, limits);
      else {
        const text = readText(open, compression, path, limits);
        const delimiter = suffix.startsWith(".tsv") ? "\t" : ",";
        for await (const { line, value } of readCsv(text, delimiter, path, limits.maxLineLength)) {
          yield { where: `${path}, line ${line}`, value };
        }
      }
    } finally {
      open.close();
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

async function* readTable(file: FileReader, path: string): AsyncGenerator<DatasetRow> {
  let row = 0;
  for await (const value of readParquet(file, path)) {
    yield { where: `${path}, row ${++row}`, value };
  }
}

/** Fields under which programs keep the list of all rows. */
const LISTS = ["data", "rows", "examples", "instances", "records", "items"];

/**
 * Rows in JSON. Whether a file holds one on each line or a list of them is seen by its first line: names of files do not tell,
 * as programs write both under either.
 */
async function* readJson(
  file: FileReader,
  compression: Compression | null,
  path: string,
  limits: RowLimits,
): AsyncGenerator<DatasetRow> {
  const { maxLineLength, maxListLength } = limits;
  const whole = { ...limits, maxLineLength: Math.max(maxLineLength, maxListLength) };
  const lines = notBlank(readLines(file, compression, path, whole), path, maxLineLength);
  const first = (await lines.next()).value;
  if (first === undefined) return;
  const second = (await lines.next()).value;
  const value = parsedOrNull(first);
  if (isObject(value) && second !== undefined) {
    yield checkRow(value, first.where);
    for (let line: Line | undefined = second; line; line = (await lines.next()).value) {
      if (line.text.length > maxLineLength) throw tooLong(line.where, maxLineLength);
      yield checkRow(parsePythonJson(line.text, line.where), line.where);
    }
    return;
  }
  if (value !== null) {
    yield* rowsOf(value, path, first.where);
    return;
  }
  if (second === undefined) parsePythonJson(first.text, first.where); // throws
  const texts = [first.text];
  let length = first.text.length;
  for (let line: Line | undefined = second; line; line = (await lines.next()).value) {
    texts.push(line.text);
    length += line.text.length;
    if (length > maxListLength) {
      throw tooLong(path, maxListLength);
    }
  }
  const list = parsedOrNull({ text: texts.join("\n"), where: path });
  if (list === null) {
    // A mistake in a list is somewhere in the file, one in lines is in the first of them.
    const isList = first.text.trimStart().startsWith("[");
    parsePythonJson(isList ? texts.join("\n") : first.text, isList ? path : first.where);
  }
  yield* rowsOf(list, path, path);
}

interface Line {
  text: string;
  where: string;
}

/** @param maxBlank Longest line without a row. */
async function* notBlank(
  lines: AsyncIterable<string>,
  path: string,
  maxBlank: number,
): AsyncGenerator<Line, undefined> {
  let number = 0;
  for await (const text of lines) {
    const where = `${path}, line ${++number}`;
    if (text.trim() !== "") yield { text, where };
    else if (text.length > maxBlank) throw tooLong(where, maxBlank);
  }
}

function* rowsOf(value: unknown, path: string, where: string): Generator<DatasetRow> {
  const isList = (field: unknown) => Array.isArray(field) && field.every(isObject);
  const key = isObject(value) ? LISTS.find((name) => isList(value[name])) : undefined;
  const list = isObject(value) && key !== undefined ? value[key] : value;
  if (!Array.isArray(list)) {
    yield checkRow(value, where);
    return;
  }
  for (const [i, row] of list.entries()) yield checkRow(row, `${path}, row ${i + 1}`);
}

function parsedOrNull({ text, where }: Line): unknown {
  try {
    return parsePythonJson(text, where);
  } catch {
    return null;
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

function tooLong(where: string, maxLength: number): UserError {
  return new UserError(
    `Cannot read ${where}: expected at most ${maxLength} characters, found more; convert it to .jsonl with a row on each line`,
  );
}
