/**
 * Datasets of the file system, on Deno.
 *
 * @module
 */

import { glob } from "node:fs/promises";
import { basename, dirname } from "node:path";
import {
  type Dataset,
  type DatasetFile,
  type DatasetPart,
  HOLD_ROWS,
  rowSuffix,
} from "../data/rows.ts";
import { type DatasetSource, parseDatasetArgument, selectFiles } from "../data/source.ts";
import { UserError } from "../errors.ts";
import type { Directory } from "../formats/files.ts";
import { explain, openDirectory } from "./files.ts";
import { isThere, locate } from "./hub/cache.ts";

/** Which split of a folder to read where the argument does not say. */
export interface SplitChoice {
  /** The one that the user named, or null. */
  split: string | null;
  /** The one to take where there are several and the user named none. */
  preferred: string;
}

/**
 * Opens what a dataset argument names: files, patterns, folders and downloaded datasets of the hub, as `parseDatasetArgument` reads it.
 *
 * @throws {UserError} If there is no such file, or no such split.
 */
export async function openDataset(
  argument: string,
  { split, preferred }: SplitChoice = { split: null, preferred: "train" },
): Promise<Dataset> {
  const parts: DatasetPart[] = [];
  for (const source of parseDatasetArgument(argument)) {
    const asked = source.split ?? split;
    const paths = await filesOf(source, asked, preferred);
    parts.push({ files: await openFiles(paths), slice: source.slice });
  }
  return parts;
}

async function filesOf(
  source: DatasetSource,
  asked: string | null,
  preferred: string,
): Promise<string[]> {
  const location = await locateDataset(source.location);
  const isPattern = /[*?]/.test(location);
  const info = isPattern ? null : await explain("open", location, () => Deno.stat(location));
  if (info?.isFile) return [location];
  if (isPattern) {
    const paths = (await Array.fromAsync(glob(location))).filter((path) =>
      rowSuffix(path) !== null
    );
    if (paths.length === 0) {
      throw new UserError(
        `Cannot open ${location}: expected files ending in ${HOLD_ROWS}, found none`,
      );
    }
    return asked === null ? paths.sort() : selectFiles(paths, asked, preferred, location);
  }
  const folder = location.replace(/(?<=.)[/\\]+$/, "");
  const paths = selectFiles(await listFiles(folder), asked, preferred, folder);
  return paths.map((path) => `${folder}/${path}`);
}

/** A dataset of the hub, and what is named below it: "" or a path that begins with a slash. */
interface HubPlace {
  /** `ORG/NAME[@REVISION]`, if it is one. */
  id: string;
  below: string;
}

/** @returns null for what is a path that exists, or can be nothing but a path. */
export async function hubPlace(location: string): Promise<HubPlace | null> {
  const [, id, below = ""] = /^([^/]+\/[^/]+)(\/.*)?$/.exec(location) ?? [];
  if (id === undefined || await isThere(id) || await isThere(location)) return null;
  return { id, below };
}

/** A folder of the hub's cache for `ORG/NAME[@REVISION]` and what is named below it; paths that exist stay as they are. */
async function locateDataset(location: string): Promise<string> {
  const place = await hubPlace(location);
  return place === null ? location : await locate("dataset", place.id) + place.below;
}

/** Relative paths of all files below a folder, hidden ones left out. */
async function listFiles(folder: string, below = ""): Promise<string[]> {
  const path = `${folder}/${below}`;
  const entries = await explain("list", path, () => Array.fromAsync(Deno.readDir(path)));
  const visible = entries.filter(({ name }) => !name.startsWith("."));
  const lists = visible.map(({ name, isDirectory }) =>
    isDirectory ? listFiles(folder, `${below}${name}/`) : [`${below}${name}`]
  );
  return (await Promise.all(lists)).flat();
}

async function openFiles(paths: readonly string[]): Promise<DatasetFile[]> {
  const directories = new Map<string, Directory>();
  const files: DatasetFile[] = [];
  for (const path of paths) {
    const folder = dirname(path);
    const directory = directories.get(folder) ?? await openDirectory(folder);
    directories.set(folder, directory);
    files.push({ directory, name: basename(path) });
  }
  return files;
}
