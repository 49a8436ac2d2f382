// This module is browser compatible.

/**
 * Text files line by line, compressed or not, in constant memory.
 *
 * @module
 */

import { Decompress } from "fzstd"; // zstd in plain JavaScript: Web Streams know gzip only, and Node's zlib is no Web API
import { UserError } from "../errors.ts";
import { type FileReader, readChunks } from "./files.ts";

/** Limits on what a text file may demand. */
export interface LineLimits {
  /** Longest line in UTF-16 units. */
  maxLineLength: number;
  /** A compressed file that inflates to more than this must not do so by more than `maxInflation` times. */
  freeInflatedBytes: number;
  maxInflation: number;
}

/** Smaller portions than tensors are read in: every string of a portion is in memory at once. */
const CHUNK_BYTES = 64 << 10;

/** How a text file is compressed. */
export type Compression = "gzip" | "zstd";

/**
 * Yields the lines of a text file in UTF-8, without their ends; a byte order mark is left out.
 *
 * @param path How messages call the file.
 * @throws {UserError} If it is damaged, no UTF-8, or exceeds a limit.
 */
export async function* readLines(
  file: FileReader,
  compression: Compression | null,
  path: string,
  limits: LineLimits,
): AsyncGenerator<string> {
  yield* splitLines(readText(file, compression, path, limits), path, limits.maxLineLength);
}

/**
 * Yields a text file in UTF-8 piece by piece; a byte order mark is left out.
 *
 * @param path How messages call the file.
 * @throws {UserError} If it is damaged, no UTF-8, or exceeds a limit.
 */
export function readText(
  file: FileReader,
  compression: Compression | null,
  path: string,
  limits: LineLimits,
): AsyncGenerator<string> {
  const bytes = compression === null ? chunksOf(file) : inflate(file, compression, path, limits);
  return decode(bytes, path);
}

type Bytes = AsyncIterable<Uint8Array<ArrayBuffer>>;

const chunksOf = (file: FileReader) => readChunks(file, 0, file.size, CHUNK_BYTES);

async function* inflate(
  file: FileReader,
  compression: Compression,
  path: string,
  { freeInflatedBytes, maxInflation }: LineLimits,
): Bytes {
  let total = 0;
  const spend = (chunk: Uint8Array) => {
    total += chunk.length;
    if (total <= Math.max(freeInflatedBytes, maxInflation * file.size)) return;
    throw new UserError(
      `Cannot read ${path}: expected it to inflate at most ${maxInflation} times, found ${total} bytes ` +
        `out of ${file.size}; if the file is what it should be, decompress it first`,
    );
  };
  try {
    if (compression === "zstd") return yield* inflateZstd(chunksOf(file), spend);
    const bytes = ReadableStream.from(chunksOf(file));
    for await (const chunk of bytes.pipeThrough(new DecompressionStream("gzip"))) {
      spend(chunk);
      yield chunk;
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(
      `Cannot read ${path}: expected ${compression}, found damaged data (${
        (error as Error).message
      })`,
    );
  }
}

/** @param spend Called with each piece as it comes out, which may be far more than what went in. */
async function* inflateZstd(bytes: Bytes, spend: (chunk: Uint8Array) => void): Bytes {
  const inflated: Uint8Array<ArrayBuffer>[] = [];
  const stream = new Decompress((chunk) => {
    spend(chunk);
    // The library goes on writing into its window.
    inflated.push(chunk.slice());
  });
  for await (const chunk of bytes) {
    stream.push(chunk);
    yield* inflated.splice(0);
  }
  stream.push(new Uint8Array(), true);
  yield* inflated;
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
