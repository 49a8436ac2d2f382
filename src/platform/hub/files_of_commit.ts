/**
 * Which files a downloaded dataset has on the hub, so that a part of it is not taken for the whole. Kept in the cache
 * beside the snapshots, where Hugging Face's own tools do not look:
 *
 *     datasets--org--name/.files/<commit>.json
 *
 * @module
 */
import { basename, dirname } from "node:path";
import { createDirectory, explain } from "../files.ts";
import { isThere } from "./cache.ts";

/** @param snapshot The folder of the dataset's files at a commit. */
function recordOf(snapshot: string): string {
  return `${dirname(dirname(snapshot))}/.files/${basename(snapshot)}.json`;
}

/** Remembers the files that make up a dataset, here or not. */
export async function rememberFiles(snapshot: string, paths: readonly string[]): Promise<void> {
  const record = recordOf(snapshot);
  await createDirectory(dirname(record));
  await explain("write", record, () => Deno.writeTextFile(record, JSON.stringify(paths)));
}

/** The files of a dataset that are not here, as far as is known: other tools leave no record. */
export async function missingFiles(snapshot: string): Promise<string[]> {
  const record = recordOf(snapshot);
  if (!await isThere(record)) return [];
  const paths: string[] = JSON.parse(
    await explain("read", record, () => Deno.readTextFile(record)),
  );
  const here = await Promise.all(paths.map((path) => isThere(`${snapshot}/${path}`)));
  return paths.filter((_, i) => !here[i]);
}
