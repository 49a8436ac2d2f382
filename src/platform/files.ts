/**
 * Folders of the file system, on Deno.
 *
 * @module
 */

import { dirname } from "node:path";
import { UserError } from "../errors.ts";
import type { Chunks, Directory, FileReader, WritableDirectory } from "../formats/files.ts";

/**
 * Opens an existing folder for reading.
 *
 * @throws {UserError} If there is no such folder.
 */
export async function openDirectory(path: string): Promise<Directory> {
  const info = await explain("open", path, () => Deno.stat(path));
  if (!info.isDirectory) {
    throw new UserError(`Cannot open ${path}: expected a folder, found a file`);
  }
  return new DiskDirectory(path);
}

/**
 * Opens a folder for writing and creates it where it is missing.
 *
 * @throws {UserError} If it cannot be created.
 */
export async function createDirectory(path: string): Promise<WritableDirectory> {
  await explain("create", path, () => Deno.mkdir(path, { recursive: true }));
  return new DiskDirectory(path);
}

/**
 * Fills a new folder, which appears under its name whole or not at all.
 *
 * @param path Where nothing is yet, or an empty folder.
 * @throws {UserError} If something is there, or it cannot be written.
 */
export async function createWhole(
  path: string,
  fill: (directory: WritableDirectory) => Promise<void>,
): Promise<void> {
  const target = new DiskDirectory(path).name;
  const present = await explain("open", target, () => entriesOf(target));
  if (present > 0) {
    throw new UserError(`Expected ${target} to be new or empty, found ${present} files in it`);
  }
  const unfinished = `${dirname(target)}/.tmp-${crypto.randomUUID()}`;
  try {
    await fill(await createDirectory(unfinished));
    await explain("write", target, async () => {
      await Deno.remove(target).catch(ignoreMissing); // an empty folder
      await Deno.rename(unfinished, target);
      await syncDirectory(dirname(target));
    });
  } catch (error) {
    await Deno.remove(unfinished, { recursive: true }).catch(() => {});
    throw error;
  }
}

async function entriesOf(path: string): Promise<number> {
  try {
    return (await Array.fromAsync(Deno.readDir(path))).length;
  } catch (error) {
    ignoreMissing(error);
    return 0;
  }
}

/** Throws all errors but that there is no such file. */
export function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

class DiskDirectory implements WritableDirectory {
  readonly name: string;

  constructor(path: string) {
    this.name = path.replace(/(?<=.)[/\\]+$/, "");
  }

  async list(): Promise<string[]> {
    const entries = await explain(
      "list",
      this.name,
      () => Array.fromAsync(Deno.readDir(this.name)),
    );
    // A model hub's cache consists of links to files, so links count.
    return entries.filter((entry) => !entry.isDirectory).map((entry) => entry.name).sort();
  }

  async has(file: string): Promise<boolean> {
    try {
      return (await Deno.stat(this.#path(file))).isFile;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  }

  async readText(file: string): Promise<string> {
    const path = this.#path(file);
    const bytes = await explain("read", path, () => Deno.readFile(path));
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      throw new UserError(`Cannot read ${path}: expected UTF-8 text, found other bytes`);
    }
  }

  async open(file: string): Promise<FileReader> {
    const path = this.#path(file);
    const handle = await explain("open", path, () => Deno.open(path));
    return new DiskFile(path, handle, (await handle.stat()).size);
  }

  writeText(file: string, text: string): Promise<void> {
    return this.write(file, [new TextEncoder().encode(text)]);
  }

  async write(file: string, chunks: Chunks): Promise<void> {
    const path = this.#path(file);
    const temporary = this.#path(`.tmp-${crypto.randomUUID()}`);
    await explain("write", path, async () => {
      try {
        await writeSynced(temporary, chunks);
        await Deno.rename(temporary, path);
      } catch (error) {
        await Deno.remove(temporary).catch(() => {});
        throw error;
      }
      await syncDirectory(this.name);
    });
  }

  #path(file: string): string {
    if (!/^[^/\\\0]+$/.test(file) || file === "." || file === "..") {
      throw new RangeError(`Expected a plain file name, found ${JSON.stringify(file)}`);
    }
    return `${this.name}/${file}`;
  }
}

class DiskFile implements FileReader {
  #lastRead: Promise<unknown> = Promise.resolve();

  constructor(readonly name: string, readonly handle: Deno.FsFile, readonly size: number) {}

  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    // Seeking and reading share the handle's position, so reads take turns.
    const read = this.#lastRead.then(() => this.#read(offset, length));
    this.#lastRead = read.catch(() => {});
    return read;
  }

  async #read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(length);
    await this.handle.seek(offset, Deno.SeekMode.Start);
    for (let filled = 0; filled < length;) {
      const count = await this.handle.read(bytes.subarray(filled));
      if (count === null) {
        throw new UserError(
          `Cannot read ${this.name}: expected ${length} bytes from byte ${offset} on, found ${filled}`,
        );
      }
      filled += count;
    }
    return bytes;
  }

  close(): void {
    this.handle.close();
  }
}

async function writeSynced(path: string, chunks: Chunks): Promise<void> {
  using handle = await Deno.open(path, { write: true, createNew: true });
  for await (const chunk of chunks) {
    for (let written = 0; written < chunk.length;) {
      written += await handle.write(chunk.subarray(written));
    }
  }
  await handle.sync();
}

/** Makes renames in a folder survive a power cut, where the system can sync folders. */
export async function syncDirectory(path: string): Promise<void> {
  if (Deno.build.os === "windows") return;
  using handle = await Deno.open(path);
  await handle.sync();
}

/** Runs `action` and turns the system's complaints into one line that names the path and the remedy. */
export async function explain<T>(verb: string, path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw explained(verb, path, error);
  }
}

/** @returns The system's complaint as {@link explain} throws it; other errors as they are. */
export function explained(verb: string, path: string, error: unknown): unknown {
  const reason = explanation(error);
  return reason === null ? error : new UserError(`Cannot ${verb} ${path}: ${reason}`);
}

function explanation(error: unknown): string | null {
  if (error instanceof Deno.errors.NotFound) return "no such file or folder; check the path";
  if (error instanceof Deno.errors.PermissionDenied) return "the system does not permit it";
  if (error instanceof Deno.errors.NotCapable) return (error as Error).message;
  if (error instanceof Deno.errors.NotADirectory) return "a part of the path is a file";
  if (error instanceof Deno.errors.IsADirectory) return "expected a file, found a folder";
  if (error instanceof Deno.errors.AlreadyExists) return "expected a folder, found a file";
  switch ((error as { code?: string }).code) {
    case "ENOSPC":
    case "EDQUOT":
      return "the disk is full; free some space or choose another place";
    case "EROFS":
      return "the file system is read-only; choose another place";
    default:
      return null;
  }
}
