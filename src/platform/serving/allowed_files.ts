import type { Resolved } from "../../config/resolve.ts";
import { UserError } from "../../errors.ts";
import { openDataset } from "../datasets.ts";
import { PREFERENCES, type TrainingFile } from "../../serve/training_files.ts";

/**
 * The datasets of `--training-files`, by name. The shipped ones are left out where they are not.
 *
 * @throws {UserError} If one is not there, or has no name of its own.
 */
export async function allowedFiles(
  { options: { trainingFiles }, origins }: Resolved<"serve">,
): Promise<Map<string, TrainingFile>> {
  const files = new Map<string, TrainingFile>();
  const createdAt = Math.floor(Date.now() / 1000);
  for (const item of trainingFiles.split(",")) {
    const [, id, path] = /^([\w.-]{1,64})=(.+)$/.exec(item) ?? [];
    if (id === undefined || files.has(id) || id === PREFERENCES) {
      throw new UserError(
        `Expected --training-files as NAME=PATH,... with a name for each (but ${PREFERENCES}), found "${item}"`,
      );
    }
    const isShipped = origins.trainingFiles.source === "default";
    if (isShipped && !existsHere(path)) continue;
    await openDataset(path, { split: null, preferred: "train" });
    const bytes = bytesOf(path);
    files.set(id, { id, source: "allowed", path, filename: id, bytes, rows: null, createdAt });
  }
  return files;
}

export function existsHere(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** null where it is not one file of this machine. */
function bytesOf(path: string): number | null {
  return existsHere(path) && Deno.statSync(path).isFile ? Deno.statSync(path).size : null;
}
