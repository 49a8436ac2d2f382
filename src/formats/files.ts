// This module is browser compatible.

/**
 * What storage must offer to the rest of the program. `src/platform/files.ts` implements it on Deno; a browser can
 * implement it on the Origin Private File System.
 *
 * @module
 */

/** An open file with random access. */
export interface FileReader {
  /** How messages call the file. */
  readonly name: string;
  /** In bytes, when the file was opened. */
  readonly size: number;
  /**
   * Reads exactly `length` bytes from byte `offset` on into a buffer of its own. Concurrent calls are allowed.
   *
   * @throws {UserError} If the file ends before.
   */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  close(): void;
}

/** A folder of plain files; names are basenames, never paths. */
export interface Directory {
  /** How messages call the folder. */
  readonly name: string;
  /** The names of the plain files, sorted. */
  list(): Promise<string[]>;
  has(file: string): Promise<boolean>;
  /** @throws {UserError} If the file is missing, unreadable or no UTF-8. */
  readText(file: string): Promise<string>;
  /** @throws {UserError} If the file is missing or unreadable. */
  open(file: string): Promise<FileReader>;
}

/** Bytes that are written in order. */
export type Chunks = AsyncIterable<Uint8Array<ArrayBuffer>> | Iterable<Uint8Array<ArrayBuffer>>;

/** A folder that can be written to. A file appears under its name whole or not at all. */
export interface WritableDirectory extends Directory {
  /** @throws {UserError} If the file cannot be written, for instance on a full disk. */
  writeText(file: string, text: string): Promise<void>;
  /** @throws {UserError} If the file cannot be written, for instance on a full disk. */
  write(file: string, chunks: Chunks): Promise<void>;
}

const CHUNK_BYTES = 4 << 20;

/** Yields the bytes `begin` to `end` of `file` in order, in chunks of at most `chunkBytes`. */
export async function* readChunks(
  file: FileReader,
  begin = 0,
  end = file.size,
  chunkBytes = CHUNK_BYTES,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (let offset = begin; offset < end; offset += chunkBytes) {
    yield await file.read(offset, Math.min(chunkBytes, end - offset));
  }
}
