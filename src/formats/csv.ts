// This module is browser compatible.

import { CsvError } from "csv-parse"; // quotes, line breaks in cells and broken records are read as its many users need
import { parse } from "csv-parse/stream";
import { UserError } from "../errors.ts";

/** A record of a table. */
export interface CsvRecord {
  /** The line that it ends in. */
  line: number;
  /** Cells by the names of their columns; all are text. */
  value: Record<string, string>;
}

/**
 * Reads a table whose first record names the columns.
 *
 * @param text Pieces of the file.
 * @param delimiter What stands between two cells.
 * @param path How messages call the file.
 * @param maxLength Longest record in UTF-16 units.
 * @throws {UserError} If a record has more or fewer cells than there are columns, or quotes are not closed.
 */
export async function* readCsv(
  text: AsyncIterable<string>,
  delimiter: string,
  path: string,
  maxLength: number,
): AsyncGenerator<CsvRecord> {
  const parser = parse({
    columns: true,
    delimiter,
    info: true,
    max_record_size: maxLength,
    skip_empty_lines: true,
  }) as unknown as TransformStream<
    Uint8Array,
    { info: { lines: number }; record: CsvRecord["value"] }
  >;
  const records = ReadableStream.from(text).pipeThrough(new TextEncoderStream()).pipeThrough(
    parser,
  );
  try {
    for await (const { info, record } of records) yield { line: info.lines, value: record };
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new UserError(
      `Cannot read ${path}: expected a table whose first line names its columns, found a mistake (${error.message})`,
    );
  }
}
