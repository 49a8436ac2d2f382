import { UserError } from "../../errors.ts";
import { createDirectory, explain } from "../files.ts";
import { isThere, linkBlob, repoFolder, snapshotFolder, writeRef } from "./cache.ts";
import { explainHub, type RepoFile, type RepoListing, startHash, statusReason } from "./listing.ts";
import { patientFetch } from "./patient_fetch.ts";
import { type HubRepo, repoId } from "./repo.ts";
import type { HubSettings } from "./settings.ts";

/** What a download needs to know besides the files. */
export interface DownloadOptions {
  settings: HubSettings;
  /** The cache's folder. */
  cache: string;
  /** Ends the download; what has arrived is kept for the next one. */
  signal?: AbortSignal;
  /** Called as a file's bytes arrive, and once for a file that is there already. */
  onProgress?(file: RepoFile, doneBytes: number): void;
}

/** Times that a broken connection is taken up again where it broke. */
const ATTEMPTS = 5;
/** After so long without a byte a connection counts as broken. */
const STALLED_MS = 60_000;

/**
 * Brings files of a repository into the cache. Each is checked against the hub's size and hash before it appears under
 * its name; the revision's name is moved to the new commit only when all are there.
 *
 * @param files Of the listing.
 * @returns The folder of the snapshot that holds them, by their paths.
 * @throws {UserError} If a file cannot be had, or is not what the hub says it is.
 */
export async function downloadFiles(
  { repo, commit }: Pick<RepoListing, "repo" | "commit">,
  files: readonly RepoFile[],
  options: DownloadOptions,
): Promise<string> {
  const snapshot = snapshotFolder(options.cache, repo, commit);
  await createDirectory(snapshot);
  for (const file of files) {
    const blob = `${repoFolder(options.cache, repo)}/blobs/${file.hash}`;
    await fetchBlob(repo, commit, file, blob, options);
    await linkBlob(blob, `${snapshot}/${file.path}`);
    options.onProgress?.(file, file.sizeBytes);
  }
  await writeRef(options.cache, repo, commit);
  return snapshot;
}

async function fetchBlob(
  repo: HubRepo,
  commit: string,
  file: RepoFile,
  blob: string,
  options: DownloadOptions,
): Promise<void> {
  if (await isWhole(blob, file)) return;
  await createDirectory(`${repoFolder(options.cache, repo)}/blobs`);
  using _lock = await lockBlob(repo, file, options);
  if (await isWhole(blob, file)) return; // fetched by the process that held the lock
  const task = `download ${file.path} of ${repo.type} ${repoId(repo)}`;
  const incomplete = await IncompleteFile.open(`${blob}.incomplete`, file);
  try {
    const url = resolveUrl(repo, commit, file, options.settings);
    for (let attempt = 1; incomplete.sizeBytes < file.sizeBytes; attempt++) {
      await explainHub(task, options.settings, () => receive(url, incomplete, task, options));
      if (attempt === ATTEMPTS && incomplete.sizeBytes < file.sizeBytes) {
        throw new UserError(
          `Cannot ${task}: expected ${file.sizeBytes} bytes, found the connection broken after ` +
            `${incomplete.sizeBytes}, ${ATTEMPTS} times; the same command goes on from there`,
        );
      }
    }
    await incomplete.finish(blob, task);
  } finally {
    incomplete.close();
  }
}

async function isWhole(blob: string, { sizeBytes }: RepoFile): Promise<boolean> {
  return await isThere(blob) && (await Deno.stat(blob)).size === sizeBytes;
}

/** Takes the lock under which Python's library, too, writes this blob. */
async function lockBlob(
  repo: HubRepo,
  { hash }: RepoFile,
  { cache }: DownloadOptions,
): Promise<Disposable> {
  const folder = repoFolder(`${cache}/.locks`, repo);
  await createDirectory(folder);
  const path = `${folder}/${hash}.lock`;
  const handle = await explain("open", path, () => Deno.open(path, { create: true, write: true }));
  await handle.lock(true);
  return handle;
}

function resolveUrl(
  { type, name }: HubRepo,
  commit: string,
  { path }: RepoFile,
  { endpoint }: HubSettings,
): string {
  const prefix = type === "dataset" ? "datasets/" : "";
  return `${endpoint}/${prefix}${name}/resolve/${commit}/${
    path.split("/").map(encodeURIComponent).join("/")
  }`;
}

/** Appends what the hub sends to the file; returns early where the connection breaks. */
async function receive(
  url: string,
  incomplete: IncompleteFile,
  task: string,
  { settings, signal, onProgress }: DownloadOptions,
): Promise<void> {
  const stalled = new AbortController();
  const timer = new Timer(STALLED_MS, () => stalled.abort());
  let begun = false;
  try {
    const response = await patientFetch(url, {
      headers: {
        range: `bytes=${incomplete.sizeBytes}-`,
        "accept-encoding": "identity",
        // A redirect to another host loses it.
        ...settings.token && { authorization: `Bearer ${settings.token}` },
      },
      signal: AbortSignal.any([stalled.signal, ...signal ? [signal] : []]),
    });
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      throw new UserError(
        `Cannot ${task}: ${statusReason(response.status, settings.token !== undefined)}`,
      );
    }
    begun = true;
    // A host that ignores the range sends the file from its start.
    if (response.status !== 206) await incomplete.restart();
    for await (const chunk of response.body) {
      timer.restart();
      await incomplete.append(chunk);
      onProgress?.(incomplete.file, incomplete.sizeBytes);
    }
  } catch (error) {
    if (error instanceof UserError || signal?.aborted) throw error;
    // The connection broke; what has arrived stays.
    if (!begun && !stalled.signal.aborted) throw error;
  } finally {
    timer.stop();
  }
}

/** Calls back when it was not restarted for some time. */
class Timer {
  #id: ReturnType<typeof setTimeout>;

  constructor(readonly milliseconds: number, readonly callback: () => void) {
    this.#id = setTimeout(callback, milliseconds);
  }

  restart(): void {
    this.stop();
    this.#id = setTimeout(this.callback, this.milliseconds);
  }

  stop(): void {
    clearTimeout(this.#id);
  }
}

/** A blob that is arriving, with the hash of what is there so far. */
class IncompleteFile {
  sizeBytes = 0;
  #hash;

  private constructor(
    readonly path: string,
    readonly file: RepoFile,
    readonly handle: Deno.FsFile,
  ) {
    this.#hash = startHash(file);
  }

  /** Opens a new one, or what an earlier download left. */
  static async open(path: string, file: RepoFile): Promise<IncompleteFile> {
    const options = { create: true, read: true, write: true };
    const handle = await explain("open", path, () => Deno.open(path, options));
    const incomplete = new IncompleteFile(path, file, handle);
    if ((await handle.stat()).size > file.sizeBytes) await handle.truncate(0);
    const buffer = new Uint8Array(1 << 20);
    for (let count; (count = await handle.read(buffer)) !== null;) {
      incomplete.#hash.update(buffer.subarray(0, count));
      incomplete.sizeBytes += count;
    }
    return incomplete;
  }

  async restart(): Promise<void> {
    await this.handle.truncate(0);
    await this.handle.seek(0, Deno.SeekMode.Start);
    this.sizeBytes = 0;
    this.#hash = startHash(this.file);
  }

  /** What comes beyond the file's size is not written, but spoils its hash. */
  async append(chunk: Uint8Array): Promise<void> {
    const kept = chunk.subarray(0, this.file.sizeBytes - this.sizeBytes);
    await explain("write", this.path, async () => {
      for (let written = 0; written < kept.length;) {
        written += await this.handle.write(kept.subarray(written));
      }
    });
    this.#hash.update(chunk);
    this.sizeBytes += kept.length;
  }

  /** Moves the file to its place, if it is what it should be. */
  async finish(blob: string, task: string): Promise<void> {
    const found = this.#hash.digest("hex");
    if (found !== this.file.hash) {
      await Deno.remove(this.path);
      throw new UserError(
        `Cannot ${task}: expected content with the hash ${this.file.hash}, found ${found}; it was damaged or tampered ` +
          "with on its way and is not kept: try again, or another HF_ENDPOINT",
      );
    }
    await explain("write", blob, async () => {
      await this.handle.sync();
      await Deno.rename(this.path, blob);
    });
  }

  close(): void {
    this.handle.close();
  }
}
