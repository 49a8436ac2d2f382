/**
 * A folder of checkpoints in the file system, on Deno.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { Chunks, Directory, WritableDirectory } from "../formats/files.ts";
import type { CheckpointStorage } from "../train/checkpoint.ts";
import { createDirectory, explain, ignoreMissing, openDirectory, syncDirectory } from "./files.ts";

// Folders under these names are no checkpoints: being written, about to be replaced, being removed.
const WRITTEN = ".tmp-new-", REPLACED = ".tmp-old-", REMOVED = ".tmp-removed-";

/**
 * Opens a folder of checkpoints for one process to write to, creates it where it is missing, and removes what a killed
 * process left unfinished.
 *
 * @throws {UserError} If it cannot be created.
 */
export async function openCheckpointStorage(path: string): Promise<CheckpointStorage> {
  const { name } = await createDirectory(path);
  const storage = new DiskStorage(name);
  await storage.tidy();
  return storage;
}

/** SHA-256 of a stream of bytes, hexadecimal. */
export async function sha256(chunks: Chunks): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
}

class DiskStorage implements CheckpointStorage {
  readonly sha256 = sha256;

  constructor(readonly name: string) {}

  async list(): Promise<string[]> {
    return (await this.#folders()).filter((name) => !name.startsWith("."));
  }

  open(name: string): Promise<Directory> {
    return openDirectory(`${this.name}/${name}`);
  }

  async create(
    name: string,
    fill: (directory: WritableDirectory) => Promise<void>,
  ): Promise<void> {
    const target = `${this.name}/${name}`;
    const unfinished = `${this.name}/${WRITTEN}${name}`;
    const replaced = `${this.name}/${REPLACED}${name}`;
    await explain("write", target, async () => {
      try {
        await fill(await createDirectory(unfinished));
        await syncDirectory(unfinished);
        // A folder that is not empty cannot be renamed over.
        await Deno.rename(target, replaced).catch(ignoreMissing);
        await Deno.rename(unfinished, target);
        await syncDirectory(this.name);
      } catch (error) {
        await Deno.remove(unfinished, { recursive: true }).catch(() => {});
        throw error;
      }
      await Deno.remove(replaced, { recursive: true }).catch(ignoreMissing);
    });
  }

  async remove(name: string): Promise<void> {
    const path = `${this.name}/${name}`;
    // Renamed first, so that no half of a checkpoint is ever left under its name.
    const doomed = `${this.name}/${REMOVED}${name}`;
    await explain("remove", path, async () => {
      await Deno.rename(path, doomed);
      await Deno.remove(doomed, { recursive: true });
    });
  }

  /** Takes up what a killed process left behind. */
  async tidy(): Promise<void> {
    const folders = await this.#folders();
    for (const left of folders.filter((name) => name.startsWith(".tmp-"))) {
      const path = `${this.name}/${left}`;
      const name = left.slice(REPLACED.length);
      const restore = left.startsWith(REPLACED) && !folders.includes(name);
      await explain(
        "tidy",
        path,
        () =>
          restore
            ? Deno.rename(path, `${this.name}/${name}`)
            : Deno.remove(path, { recursive: true }),
      );
    }
  }

  async #folders(): Promise<string[]> {
    const entries = await explain(
      "list",
      this.name,
      () => Array.fromAsync(Deno.readDir(this.name)),
    );
    return entries.filter((entry) => entry.isDirectory).map((entry) => entry.name);
  }
}
