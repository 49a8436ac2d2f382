/**
 * Datasets of the file system, on Deno.
 *
 * @module
 */

import { basename, dirname } from "node:path";
import { type CardConfig, cardConfigs, chooseConfig } from "../data/dataset_card.ts";
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
import { filesOfPattern, listFiles, matchesPattern } from "./glob.ts";
import { isThere, locate } from "./hub/cache.ts";

/** Where Hugging Face's datasets say what their files are. */
const CARD = "README.md";

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
 * Opens what a dataset argument names: files, patterns, folders and downloaded datasets of the hub, as `parseDatasetArgument` reads it.
 *
 * @throws {UserError} If there is no such file, or no such split.
 */
export async function openDataset(
  argument: string,
  choice: SplitChoice = { split: null, preferred: "train" },
): Promise<Dataset> {
  const parts: DatasetPart[] = [];
  for (const source of parseDatasetArgument(argument)) {
    const paths = await filesOf(source, { ...choice, split: source.split ?? choice.split });
    parts.push({ files: await openFiles(paths), slice: source.slice });
  }
  return parts;
}

async function filesOf(
  source: DatasetSource,
  { config = null, split, preferred }: SplitChoice,
): Promise<string[]> {
  const location = await locateDataset(source.location);
  const isPattern = /[*?]/.test(location);
  const info = isPattern ? null : await explain("open", location, () => Deno.stat(location));
  if (info?.isFile) return [location];
  if (isPattern) {
    const paths = (await filesOfPattern(location)).filter((path) => rowSuffix(path) !== null);
    if (paths.length === 0) {
      throw new UserError(
        `Cannot open ${location}: expected files ending in ${HOLD_ROWS}, found none`,
      );
    }
    return split === null ? paths.sort() : selectFiles(paths, split, preferred, location);
  }
  const folder = location.replace(/(?<=.)[/\\]+$/, "");
  const all = await listFiles(folder);
  const configs = all.includes(CARD) ? await readCard(`${folder}/${CARD}`) : [];
  const chosen = chooseConfig(configs, config, folder);
  const paths = chosen === null
    ? selectFiles(all, split, preferred, folder)
    : filesOfConfig(chosen, all, split, preferred, folder);
  return paths.map((path) => `${folder}/${path}`);
}

async function readCard(path: string): Promise<CardConfig[]> {
  return cardConfigs(await explain("read", path, () => Deno.readTextFile(path)), path);
}

function filesOfConfig(
  { folder, files }: CardConfig,
  all: readonly string[],
  split: string | null,
  preferred: string,
  name: string,
): string[] {
  if (files === null) {
    return selectFiles(all.filter((path) => path.startsWith(folder)), split, preferred, name);
  }
  const ofPath = (path: string) =>
    files.find(({ pattern }) => path === pattern || matchesPattern(path, pattern))?.split ?? null;
  return selectFiles(all.filter((path) => ofPath(path) !== null), split, preferred, name, ofPath);
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
