// This module is browser compatible.

import { type FileMetaData, parquetMetadataAsync, parquetReadObjects, toJson } from "hyparquet"; // a Parquet reader in plain JavaScript
import { compressors } from "hyparquet-compressors"; // the codecs that hyparquet leaves out: all but Snappy
import { UserError } from "../errors.ts";
import type { FileReader } from "./files.ts";

/** A row group is decoded as a whole, so it must fit in memory. */
const MAX_GROUP_BYTES = 2 ** 31;

/** @returns How many rows a Parquet file has. It reads the end of the file only. */
export async function countParquetRows(file: FileReader, path: string): Promise<number> {
  return Number((await readMetadata(file, path)).num_rows);
}

/**
 * Yields the rows of a Parquet file as JSON values, a row group in memory at a time. Whole numbers of 64 bits become
 * numbers, timestamps ISO 8601.
 *
 * @param path How messages call the file.
 * @throws {UserError} If it is damaged, no Parquet, or demands too much memory.
 */
export async function* readParquet(
  file: FileReader,
  path: string,
): AsyncGenerator<Record<string, unknown>> {
  const metadata = await readMetadata(file, path);
  let begin = 0;
  for (const { num_rows, total_byte_size } of metadata.row_groups) {
    if (total_byte_size > MAX_GROUP_BYTES) {
      throw new UserError(
        `Cannot read ${path}: expected row groups of at most ${MAX_GROUP_BYTES} bytes, found one of ` +
          `${total_byte_size}; write it with smaller row groups`,
      );
    }
    const end = begin + Number(num_rows);
    const options = { file: buffer(file), metadata, compressors, rowStart: begin, rowEnd: end };
    const rows = await explain(path, () => parquetReadObjects(options));
    for (const row of rows) yield toJson(row) as Record<string, unknown>;
    begin = end;
  }
}

function readMetadata(file: FileReader, path: string): Promise<FileMetaData> {
  return explain(path, () => parquetMetadataAsync(buffer(file)));
}

function buffer(file: FileReader) {
  return {
    byteLength: file.size,
    slice: async (begin: number, end = file.size) => (await file.read(begin, end - begin)).buffer,
  };
}

async function explain<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(
      `Cannot read ${path}: expected Parquet, found damaged data (${(error as Error).message})`,
    );
  }
}
