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
import {
  type DatasetSource,
  parseDatasetArgument,
  selectFiles,
  type SplitChoice,
} from "../data/source.ts";
import { UserError } from "../errors.ts";
import type { Directory } from "../formats/files.ts";
import { explain, openDirectory } from "./files.ts";
import { filesOfPattern, listFiles, matchesPattern } from "./glob.ts";
import { isThere, locate } from "./hub/cache.ts";
import { missingFiles } from "./hub/files_of_commit.ts";
import { type HubRepo, parseRepo } from "./hub/repo.ts";

/** Where Hugging Face's datasets say what their files are. */
const CARD = "README.md";

/** The files that are meant, and those of them that are in no cache. */
interface Chosen {
  paths: string[];
  missing: string[];
}

/**
 * Opens what a dataset argument names: files, patterns, folders and downloaded datasets of the hub, as `parseDatasetArgument` reads it.
 *
 * @throws {UserError} If there is no such file, or no such split, or it was not downloaded.
 */
export async function openDataset(
  argument: string,
  choice: SplitChoice = { split: null, preferred: "train" },
): Promise<Dataset> {
  const parts: DatasetPart[] = [];
  for (const source of parseDatasetArgument(argument)) {
    const place = await hubPlace(source.location);
    const { paths, missing } = await filesOf(source, place, choice);
    if (missing.length > 0) {
      const { id } = place!;
      throw new UserError(
        `Cannot open ${source.location}: ${missing.length} of its ${paths.length} files were not downloaded, ` +
          `${
            missing[0]
          } first; "deno task download --dataset ${id}" brings them, or name those that are here ` +
          `by a pattern such as ${id}/data/train-00000*`,
      );
    }
    parts.push({ files: await openFiles(paths), slice: source.slice });
  }
  return parts;
}

/**
 * What an argument means of datasets that the hub's cache has in part, and that is not there.
 *
 * @returns Paths in each dataset.
 * @throws {UserError} As `openDataset`.
 */
export async function missingOfDataset(
  argument: string,
  choice: SplitChoice,
): Promise<{ repo: HubRepo; paths: string[] }[]> {
  const all: { repo: HubRepo; paths: string[] }[] = [];
  for (const source of parseDatasetArgument(argument)) {
    const place = await hubPlace(source.location);
    if (place === null) continue;
    const { missing } = await filesOf(source, place, choice);
    if (missing.length > 0) all.push({ repo: place.repo, paths: missing });
  }
  return all;
}

async function filesOf(
  source: DatasetSource,
  place: HubPlace | null,
  choice: SplitChoice,
): Promise<Chosen> {
  const chosen = { ...choice, split: source.split ?? choice.split };
  return place === null
    ? { paths: await filesAt(source.location, chosen), missing: [] }
    : await filesOfHub(place, chosen);
}

async function filesAt(location: string, choice: SplitChoice): Promise<string[]> {
  if (isPattern(location)) return filesThatFit(location, await filesOfPattern(location), choice);
  const { isFile } = await explain("open", location, () => Deno.stat(location));
  if (isFile) return [location];
  const folder = location.replace(/(?<=.)[/\\]+$/, "");
  const paths = await filesOfFolder(folder, await listFiles(folder), choice);
  return paths.map((path) => `${folder}/${path}`);
}

/** As {@link filesAt}, but of all files that a dataset of the hub has, those that were not downloaded too. */
async function filesOfHub({ id, below }: HubPlace, choice: SplitChoice): Promise<Chosen> {
  const snapshot = await locate("dataset", id);
  const notHere = await missingFiles(snapshot);
  const all = [...await listFiles(snapshot), ...notHere];
  const named = below.replaceAll(/^\/+|\/+$/g, "");
  const prefix = named === "" ? "" : `${named}/`;
  const choose = async (): Promise<string[]> => {
    if (isPattern(named)) {
      return filesThatFit(id + below, all.filter((path) => matchesPattern(path, named)), choice);
    }
    if (all.includes(named)) return [named];
    const inside = all.filter((path) => path.startsWith(prefix)).map((path) =>
      path.slice(prefix.length)
    );
    if (inside.length === 0 && named !== "") {
      throw new UserError(`Cannot open ${id}${below}: no such file or folder`);
    }
    const paths = await filesOfFolder(`${snapshot}${below && `/${named}`}`, inside, choice);
    return paths.map((path) => prefix + path);
  };
  const paths = await choose();
  return {
    paths: paths.map((path) => `${snapshot}/${path}`),
    missing: paths.filter((path) => notHere.includes(path)),
  };
}

const isPattern = (location: string) => /[*?]/.test(location);

/** Of the files that fit a pattern, those that are meant. */
function filesThatFit(
  pattern: string,
  fitting: readonly string[],
  { split, preferred }: SplitChoice,
): string[] {
  const paths = fitting.filter((path) => rowSuffix(path) !== null);
  if (paths.length === 0) {
    throw new UserError(
      `Cannot open ${pattern}: expected files ending in ${HOLD_ROWS}, found none`,
    );
  }
  return split === null ? paths.sort() : selectFiles(paths, split, preferred, pattern);
}

/** Of all files below a folder, those that are meant. */
async function filesOfFolder(
  folder: string,
  all: readonly string[],
  { config = null, split, preferred }: SplitChoice,
): Promise<string[]> {
  const configs = all.includes(CARD) ? await readCard(`${folder}/${CARD}`) : [];
  const chosen = chooseConfig(configs, config, folder);
  return chosen === null
    ? selectFiles(all, split, preferred, folder)
    : filesOfConfig(chosen, all, split, preferred, folder);
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
  repo: HubRepo;
  /** The same, as `ORG/NAME[@REVISION]`. */
  id: string;
  below: string;
}

/** @returns null for what is a path that exists, or can be nothing but a path. */
export async function hubPlace(location: string): Promise<HubPlace | null> {
  const [, id, below = ""] = /^([^/]+\/[^/]+)(\/.*)?$/.exec(location) ?? [];
  const repo = id === undefined ? null : parseRepo("dataset", id);
  if (repo === null || await isThere(id) || await isThere(location)) return null;
  return { repo, id, below };
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
