// This module is browser compatible.

/**
 * What the card of a dataset (the front matter of its README.md) says about its configurations: which files are which
 * split of which.
 *
 * @module
 */

import { load, YAMLException } from "js-yaml"; // the front matter is written by people, in all of YAML; this asks for no permission
import { z } from "zod";
import { UserError } from "../errors.ts";

/** A configuration: one of the datasets that a repository holds. */
export interface CardConfig {
  name: string;
  isDefault: boolean;
  /** Where nothing else is said, files of this folder, with splits by their names; "" for all. */
  folder: string;
  /** Patterns of files relative to the repository, in order; null where `folder` says all. */
  files: { split: string; pattern: string }[] | null;
}

const PATHS = z.union([z.string(), z.array(z.string())]).transform((paths) => [paths].flat());
const SPLIT = z.object({ split: z.coerce.string(), path: PATHS });
const CONFIG = z.object({
  config_name: z.coerce.string(),
  default: z.boolean().optional(),
  data_dir: z.string().optional(),
  data_files: z.union([PATHS, z.array(SPLIT), z.record(z.string(), PATHS)]).optional(),
});
const CARD = z.object({ configs: z.array(CONFIG).optional() });

/**
 * @param text A README.md.
 * @param name How messages call it.
 * @returns No configurations where the card names none.
 * @throws {UserError} If its front matter is malformed.
 */
export function cardConfigs(text: string, name: string): CardConfig[] {
  const [, front] = /^\s*---\r?\n(.*?)^---\s*$/ms.exec(text) ?? [];
  if (front === undefined) return [];
  try {
    const { configs = [] } = CARD.parse(load(front.trim() === "" ? "{}" : front) ?? {});
    return configs.map((config) => ({
      name: config.config_name,
      isDefault: config.default ?? config.config_name === "default",
      folder: folderOf(config.data_dir),
      files: filesOf(config),
    }));
  } catch (error) {
    throw new UserError(
      `Cannot read the configurations in ${name}: ${
        reasonOf(error)
      }; name the files to read by a pattern`,
    );
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof YAMLException) return error.message.split("\n")[0];
  if (!(error instanceof z.ZodError)) throw error;
  return error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join(", ");
}

function folderOf(path = ""): string {
  const plain = path.replace(/^(?:\.\/)+/, "").replace(/\/+$/, "");
  return plain === "" || plain === "." ? "" : `${plain}/`;
}

function filesOf({ data_files, data_dir }: z.infer<typeof CONFIG>): CardConfig["files"] {
  if (data_files === undefined) return null;
  const bySplit = Array.isArray(data_files)
    ? data_files.map((item) => typeof item === "string" ? { split: "train", path: [item] } : item)
    : Object.entries(data_files).map(([split, path]) => ({ split, path }));
  const folder = folderOf(data_dir);
  return bySplit.flatMap(({ split, path }) =>
    path.map((pattern) => ({ split, pattern: folder + pattern.replace(/^(?:\.\/)+/, "") }))
  );
}

/**
 * @param asked The name that the user gave, or null.
 * @param name How messages call the dataset.
 * @returns null if there are none, and none is asked for.
 * @throws {UserError} If there is no such one, or it is not clear which is meant.
 */
export function chooseConfig(
  configs: readonly CardConfig[],
  asked: string | null,
  name: string,
): CardConfig | null {
  if (configs.length === 0 && asked === null) return null;
  const chosen = asked === null
    ? configs.find(({ isDefault }) => isDefault) ?? (configs.length === 1 ? configs[0] : undefined)
    : configs.find((config) => config.name === asked);
  if (chosen !== undefined) return chosen;
  const names = configs.map((config) => config.name).join(", ") || "none";
  throw new UserError(
    asked === null
      ? `Cannot choose rows of ${name}: its card names the configurations ${names}; choose one with --dataset-config, ` +
        "or --eval-dataset-config for held-out rows"
      : `Cannot choose rows of ${name}: expected a configuration "${asked}" in its card, found ${names}`,
  );
}
