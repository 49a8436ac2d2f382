/**
 * The cache of downloaded repositories, in the layout that all of Hugging Face's tools share:
 *
 *     models--org--name/refs/main              the commit that main was at
 *     models--org--name/blobs/<hash>           a file's content
 *     models--org--name/snapshots/<commit>/    links to blobs, under the files' names
 *
 * @module
 */
import { dirname, relative } from "node:path";
import { UserError } from "../../errors.ts";
import { createDirectory, explain } from "../files.ts";
import { type HubRepo, parseRepo, repoId } from "./repo.ts";
import { hubCachePath } from "./settings.ts";

const COMMIT = /^[0-9a-f]{40}$/;

/** The folder of a repository in the cache. */
export function repoFolder(cache: string, { type, name }: HubRepo): string {
  return `${cache}/${type}s--${name.replace("/", "--")}`;
}

/** The folder of a repository's files at a commit. */
export function snapshotFolder(cache: string, repo: HubRepo, commit: string): string {
  return `${repoFolder(cache, repo)}/snapshots/${commit}`;
}

/** The folder of a repository's files as far as they are in the cache, without asking the hub; null if none are. */
export async function cachedSnapshot(cache: string, repo: HubRepo): Promise<string | null> {
  const commit = COMMIT.test(repo.revision) ? repo.revision : await readRef(cache, repo);
  if (commit === null) return null;
  const folder = snapshotFolder(cache, repo, commit);
  return await isThere(folder) ? folder : null;
}

async function readRef(cache: string, repo: HubRepo): Promise<string | null> {
  const path = `${repoFolder(cache, repo)}/refs/${repo.revision}`;
  if (!await isThere(path)) return null;
  const commit = (await explain("read", path, () => Deno.readTextFile(path))).trim();
  return COMMIT.test(commit) ? commit : null;
}

/** Remembers which commit a branch or tag was at. */
export async function writeRef(cache: string, repo: HubRepo, commit: string): Promise<void> {
  if (repo.revision === commit) return;
  const path = `${repoFolder(cache, repo)}/refs/${repo.revision}`;
  await createDirectory(dirname(path));
  await explain("write", path, () => Deno.writeTextFile(path, commit));
}

/** Gives a blob its name in a snapshot. */
export async function linkBlob(blob: string, path: string): Promise<void> {
  await createDirectory(dirname(path));
  if (await isThere(path)) return;
  await Deno.remove(path).catch(() => {}); // a link to a blob that is gone
  const link = () => Deno.symlink(relative(dirname(path), blob), path);
  // Windows lets ordinary users make hard links only.
  await explain("write", path, () => link().catch(() => Deno.link(blob, path)));
}

/** Whether there is such a file or folder; a link to nothing is not. */
export async function isThere(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, (error) => {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return false;
    }
    throw error;
  });
}

/**
 * Where a model or dataset of the command line is: a path that exists, else the hub's repository of that name, in the
 * cache. No network is used: `download` fills the cache.
 *
 * @returns The path as it was given, or of a folder in the cache.
 * @throws {UserError} If there is neither.
 */
export async function locate(type: HubRepo["type"], pathOrId: string): Promise<string> {
  const repo = parseRepo(type, pathOrId);
  if (repo === null || await isThere(pathOrId)) return pathOrId;
  const snapshot = await cachedSnapshot(hubCachePath(), repo);
  if (snapshot !== null) return snapshot;
  throw new UserError(
    `Cannot open ${pathOrId}: no such file or folder, and no ${type} of that name in the hub's cache; check the path, ` +
      `or run "deno task download --${type} ${repoId(repo)}"`,
  );
}
