// This module is browser compatible.

import { UserError } from "../errors.ts";
import { type Directory, readChunks } from "../formats/files.ts";
import { describe, isObject, parseJson } from "../formats/json.ts";

/** Where rows come from: some files of a directory, or all that hold rows. */
export interface Dataset {
  directory: Directory;
  files?: readonly string[];
}

/** One row of a dataset. */
export interface DatasetRow {
  /** File and line (in a `.json` file: row), as messages name it. */
  where: string;
  value: Record<string, unknown>;
}

/** Limits on what a file may demand. */
export interface RowLimits {
  /** Longest line in UTF-16 units. */
  maxLineLength: number;
  /** Largest `.json` file, which has to be read whole. */
  maxJsonBytes: number;
  /** A gzip file that inflates to more than this must not do so by more than `maxInflation` times. */
  freeInflatedBytes: number;
  maxInflation: number;
}

const LIMITS: RowLimits = {
  maxLineLength: 16 << 20,
  maxJsonBytes: 256 << 20,
  freeInflatedBytes: 64 << 20,
  // Text rarely shrinks by more than 20 times; gzip reaches 1,032.
  maxInflation: 200,
};

/** Lines are read in smaller portions than tensors: every string of a portion is in memory at once. */
const CHUNK_BYTES = 64 << 10;

const SUFFIXES = [".jsonl", ".jsonl.gz", ".json"];

/**
 * Reads the rows of a dataset one by one, files in the order of their names.
 *
 * @throws {UserError} If there is no file with rows, or one is malformed; the message names file and line.
 */
export async function* readRows(
  { directory, files }: Dataset,
  limits: RowLimits = LIMITS,
): AsyncGenerator<DatasetRow> {
  const names = files ??
    (await directory.list()).filter((name) => SUFFIXES.some((suffix) => name.endsWith(suffix)));
  if (names.length === 0) {
    throw new UserError(
      `Cannot find rows in ${directory.name}: expected files ending in ${SUFFIXES.join(", ")}`,
    );
  }
  for (const name of names) {
    const path = `${directory.name}/${name}`;
    if (name.endsWith(".json")) yield* readJson(directory, name, path, limits);
    else if (SUFFIXES.some((suffix) => name.endsWith(suffix))) {
      yield* readJsonLines(directory, name, path, limits);
    } else {
      throw new UserError(
        `Cannot read ${path}: expected a dataset ending in ${
          SUFFIXES.join(", ")
        }; convert it to .jsonl`,
      );
    }
  }
}

async function* readJson(
  directory: Directory,
  name: string,
  path: string,
  { maxJsonBytes }: RowLimits,
): AsyncGenerator<DatasetRow> {
  const file = await directory.open(name);
  file.close();
  if (file.size > maxJsonBytes) {
    throw new UserError(
      `Cannot read ${path}: expected at most ${maxJsonBytes} bytes, found ${file.size}; convert it to .jsonl`,
    );
  }
  const rows = parseJson(await directory.readText(name), path);
  if (!Array.isArray(rows)) {
    throw new UserError(`Cannot read ${path}: expected a list of rows, found ${describe(rows)}`);
  }
  for (const [i, row] of rows.entries()) yield checkRow(row, `${path}, row ${i + 1}`);
}

async function* readJsonLines(
  directory: Directory,
  name: string,
  path: string,
  limits: RowLimits,
): AsyncGenerator<DatasetRow> {
  const file = await directory.open(name);
  try {
    let bytes = ReadableStream.from(readChunks(file, 0, file.size, CHUNK_BYTES));
    if (name.endsWith(".gz")) bytes = inflate(bytes, file.size, path, limits);
    let line = 0;
    for await (const text of splitLines(decode(bytes, path), path, limits.maxLineLength)) {
      line++;
      if (text.trim() === "") continue;
      const where = `${path}, line ${line}`;
      yield checkRow(parseJson(text, where), where);
    }
  } finally {
    file.close();
  }
}

type Bytes = ReadableStream<Uint8Array<ArrayBuffer>>;

function inflate(bytes: Bytes, sizeBytes: number, path: string, limits: RowLimits): Bytes {
  const inflated = bytes.pipeThrough(new DecompressionStream("gzip"));
  return ReadableStream.from(async function* () {
    let total = 0;
    try {
      for await (const chunk of inflated) {
        total += chunk.length;
        if (total > Math.max(limits.freeInflatedBytes, limits.maxInflation * sizeBytes)) {
          throw new UserError(
            `Cannot read ${path}: expected it to inflate at most ${limits.maxInflation} times, found ${total} bytes ` +
              `out of ${sizeBytes}; if the file is what it should be, decompress it first`,
          );
        }
        yield chunk;
      }
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw new UserError(
        `Cannot read ${path}: expected gzip, found damaged data (${(error as Error).message})`,
      );
    }
  }());
}

async function* decode(bytes: Bytes, path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    for await (const chunk of bytes) yield decoder.decode(chunk, { stream: true });
    yield decoder.decode();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new UserError(`Cannot read ${path}: expected UTF-8 text, found other bytes`);
  }
}

async function* splitLines(
  texts: AsyncIterable<string>,
  path: string,
  maxLength: number,
): AsyncGenerator<string> {
  let rest = "", count = 0;
  for await (const text of texts) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      checkLength(line);
      count++;
      yield line;
    }
    checkLength(rest);
  }
  if (rest !== "") yield rest;

  function checkLength(line: string): void {
    if (line.length <= maxLength) return;
    throw new UserError(
      `Cannot read ${path}, line ${
        count + 1
      }: expected at most ${maxLength} characters, found more; is it JSON lines?`,
    );
  }
}

function checkRow(value: unknown, where: string): DatasetRow {
  if (isObject(value)) return { where, value };
  throw new UserError(`Cannot read ${where}: expected a JSON object, found ${describe(value)}`);
}
