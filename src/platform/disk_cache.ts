import { UserError } from "../errors.ts";
import { cacheKey } from "../formats/cache.ts";
import { type Directory, type FileReader, readChunks } from "../formats/files.ts";
import type { NamedCache } from "../run/ports.ts";
import { sha256 } from "./checkpoint_storage.ts";
import { createDirectory } from "./files.ts";

const DIGEST_BYTES = 32;

/** A file that is being written for longer than this was given up. */
const ABANDONED_MS = 24 * 3600 * 1000;

/** The folder for caches where the user named none: `smoldpo` in the user's cache folder; null where there is no home. */
export function defaultCachePath(): string | null {
  const home = Deno.env.get("HOME") || Deno.env.get("USERPROFILE");
  const caches = Deno.env.get("XDG_CACHE_HOME") || (home ? `${home}/.cache` : null);
  return caches && `${caches}/smoldpo`;
}

/**
 * A cache in a folder: a file per key, which begins with the digest of what follows. A damaged file counts as missing, and a
 * folder that cannot be written to is read only; both are said.
 */
export class DiskCache implements NamedCache {
  /**
   * @param access Whether entries may be written; some commands have no permission to.
   * @param say Tells a person what is wrong, a line at a time.
   */
  constructor(
    readonly path: string,
    readonly access: "read" | "write",
    readonly say: (line: string) => void,
  ) {}

  async get(key: string): Promise<Uint8Array<ArrayBuffer> | null> {
    let bytes;
    try {
      bytes = await Deno.readFile(`${this.path}/${key}`);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) {
        this.say(`unread: ${messageOf(error)}`);
      }
      return null;
    }
    const content = bytes.subarray(DIGEST_BYTES);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
    if (digest.every((byte, i) => byte === bytes[i])) return content;
    this.say(`damaged, so ignored: ${this.path}/${key}`);
    return null;
  }

  async put(key: string, parts: readonly Uint8Array<ArrayBuffer>[]): Promise<void> {
    if (this.access === "read") return;
    try {
      const directory = await createDirectory(this.path);
      await this.#tidy();
      const digest = Uint8Array.fromHex(await sha256(parts));
      await directory.write(key, [digest, ...parts]);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.say(`not written: ${error.message}`);
    }
  }

  /** Removes what killed processes left unfinished. */
  async #tidy(): Promise<void> {
    for await (const { name } of Deno.readDir(this.path)) {
      if (!name.startsWith(".tmp-")) continue;
      const path = `${this.path}/${name}`;
      const { mtime } = await Deno.stat(path).catch(() => ({ mtime: null })); // finished meanwhile
      if (mtime && Date.now() - mtime.getTime() > ABANDONED_MS) await Deno.remove(path);
    }
  }
}

/** SHA-256 over sizes and bytes of files, in their order, hexadecimal. */
export function hashFiles(files: Iterable<FileReader>): Promise<string> {
  return sha256(async function* () {
    for (const file of files) {
      yield new TextEncoder().encode(`${file.size} `);
      yield* readChunks(file);
    }
  }());
}

/** {@link hashFiles} of some of a folder's files, and their names. */
export async function hashDirectory(
  directory: Directory,
  isPart: (name: string) => boolean,
): Promise<string> {
  const hashes: [name: string, hash: string][] = [];
  for (const name of (await directory.list()).filter(isPart)) {
    const file = await directory.open(name);
    try {
      hashes.push([name, await hashFiles([file])]);
    } finally {
      file.close();
    }
  }
  return await cacheKey(hashes);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
