// This module is browser compatible.

/**
 * What a dataset argument says: which files, which split of them, which rows.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import { HOLD_ROWS, rowSuffix } from "./rows.ts";
import { parseSlice, type Slice } from "./slice.ts";

/** One of the datasets that an argument names. */
export interface DatasetSource {
  /** A file, a folder, a pattern of files, or an id on the hub. */
  location: string;
  split: string | null;
  slice: Slice | null;
}

/** Which split of a folder to read where the argument does not say. */
export interface SplitChoice {
  /** The configuration that the user named, of those that a dataset's card has. */
  config?: string | null;
  /** The one that the user named, or null. */
  split: string | null;
  /** The one to take where there are several and the user named none. */
  preferred: string;
}

/**
 * Takes a dataset argument apart: `LOCATION[:SPLIT][[FROM:TO]]`, several with commas between them.
 *
 * @throws {UserError} If a part is empty.
 */
export function parseDatasetArgument(text: string): DatasetSource[] {
  return text.split(",").map((part) => {
    const [, whole, rows] = /^(.*?)(\[[^[\]]*:[^[\]]*\])?$/s.exec(part.trim())!;
    const slice = rows === undefined ? null : parseSlice(rows);
    // A drive letter and the scheme of an address have a colon too.
    const [, location, split] = /^(.{2,}):([\w.-]+)$/s.exec(whole) ?? [null, whole, null];
    if (location === "") {
      throw new UserError(
        `Expected datasets separated by single commas, found nothing in one place of "${text}"`,
      );
    }
    return { location, split, slice };
  });
}

/** Words by which files are known to belong to a split. */
const SPLIT_WORDS: Readonly<Record<string, readonly string[]>> = {
  train: ["train", "training"],
  test: ["test", "testing", "eval", "evaluation"],
  validation: ["validation", "valid", "val", "dev"],
};

/**
 * The split that a file belongs to, as the layouts of Hugging Face's datasets tell it: `NAME-00000-of-00004.parquet` is of
 * split NAME; other files are of the split whose word (train, test, eval, validation, ...) is a part of their name or the
 * name of their folder.
 *
 * @param path Relative to the dataset, with slashes.
 * @returns null if nothing tells.
 */
export function splitOf(path: string): string | null {
  const parts = path.split("/");
  const file = parts.pop()!;
  const stem = file.slice(0, file.length - (rowSuffix(file) ?? "").length);
  const shard = /^(.+?)-\d{5}-of-\d{5}$/.exec(stem)?.[1];
  if (shard !== undefined) return shard;
  for (const name of [stem, ...parts.reverse()]) {
    const words = name.toLowerCase().split(/[^a-z0-9]+/);
    for (const [split, spellings] of Object.entries(SPLIT_WORDS)) {
      if (words.some((word) => spellings.includes(word))) return split;
    }
  }
  return null;
}

/** Whether two names mean the same split: `eval` and `test` do. */
function isSplit(name: string | null, asked: string): boolean {
  if (name === asked) return true;
  return Object.entries(SPLIT_WORDS).some(([split, words]) =>
    words.includes(asked) && name !== null && (name === split || words.includes(name))
  );
}

/**
 * Picks the files of one split among all files of a folder or repository.
 *
 * @param paths Relative, with slashes.
 * @param asked The split that the user named, or null.
 * @param preferred The split to take where there are several and the user named none.
 * @param name How messages call the dataset.
 * @param splitOfPath Tells the split of a file.
 * @returns Files with rows, sorted.
 * @throws {UserError} If there is none, if the split is not there, or if it is not clear which files are meant.
 */
export function selectFiles(
  paths: readonly string[],
  asked: string | null,
  preferred: string,
  name: string,
  splitOfPath: (path: string) => string | null = splitOf,
): string[] {
  const tables = paths.filter((path) => rowSuffix(path) !== null).sort();
  // Beside rows in other forms, .json files describe the dataset.
  const lines = tables.filter((path) => rowSuffix(path) !== ".json");
  const files = lines.length > 0 ? lines : tables;
  if (files.length === 0) {
    throw new UserError(`Cannot find rows in ${name}: expected files ending in ${HOLD_ROWS}`);
  }
  const splits = [...new Set(files.map(splitOfPath))];
  const wanted = asked ?? (splits.length > 1 ? preferred : null);
  const chosen = wanted === null
    ? files
    : files.filter((path) => isSplit(splitOfPath(path), wanted));
  if (chosen.length === 0) {
    const found = splits.map((split) => split ?? "files of no split").join(", ");
    throw new UserError(
      `Cannot choose rows of ${name}: expected a split "${wanted}", found ${found}; ` +
        `name one as ${name}:SPLIT, or files by a pattern such as ${name}/*${rowSuffix(files[0])}`,
    );
  }
  const forms = [...new Set(chosen.map(rowSuffix))];
  if (forms.length > 1) {
    throw new UserError(
      `Cannot choose rows of ${name}: expected files of one form, found ${forms.join(", ")}, ` +
        `which may be the same rows twice; name those to read by a pattern such as ${name}/*${
          forms[0]
        }`,
    );
  }
  return chosen;
}
