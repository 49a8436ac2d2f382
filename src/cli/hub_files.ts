/** What a command line names of the hub: found in the cache, or brought there. */
import type { OptionName, Origin } from "../config.ts";
import { parseDatasetArgument } from "../data/source.ts";
import { UserError } from "../errors.ts";
import { hubPlace } from "../platform/datasets.ts";
import { cachedSnapshot, isThere } from "../platform/hub/cache.ts";
import { downloadFiles } from "../platform/hub/download.ts";
import { listRepo, type RepoFile } from "../platform/hub/listing.ts";
import { type HubRepo, parseRepo, repoId } from "../platform/hub/repo.ts";
import { neededFiles } from "../platform/hub/selection.ts";
import { hubCachePath, type HubSettings, hubSettings } from "../platform/hub/settings.ts";
import type { Context } from "./context.ts";
import { FileProgress } from "./file_progress.ts";

const MODELS = ["model", "reference", "configFrom"] as const satisfies OptionName[];
const DATASETS = ["dataset", "evalDataset"] as const satisfies OptionName[];

/** Names of files that are not there; nobody calls a repository so. */
const A_FILE = /\.(?:jsonl?|gz|zst|parquet|safetensors|pth?|bin)$/;

/** A command's context, whatever options it has. */
interface Asking extends Pick<Context, "stderr" | "signal"> {
  resolved: {
    options: Partial<Record<OptionName, unknown>>;
    origins: Readonly<Record<string, Origin>>;
  };
}

/**
 * Downloads the models and datasets that the user's flags name and neither this machine nor the hub's cache has. What is
 * in the cache is taken as it is there. Only for commands that may write, and never for what somebody else names.
 *
 * @returns false if the user interrupted it.
 * @throws {UserError} If something cannot be had.
 */
export async function bringFromHub(
  { resolved: { options, origins }, stderr, signal }: Asking,
): Promise<boolean> {
  const named = (option: OptionName): string | null => {
    const value = options[option];
    const byUser = ["flag", "file"].includes(origins[option]?.source);
    return byUser && typeof value === "string" ? value : null;
  };
  const repos: (HubRepo | null)[] = [];
  for (const option of MODELS) {
    const id = named(option);
    if (id !== null && !await isThere(id)) repos.push(parseRepo("model", id));
  }
  for (const option of DATASETS) {
    const argument = named(option);
    for (const { location } of argument === null ? [] : parseDatasetArgument(argument)) {
      const place = await hubPlace(location);
      if (place !== null) repos.push(parseRepo("dataset", place.id));
    }
  }
  for (const repo of repos) {
    if (repo === null || A_FILE.test(repo.name)) continue;
    if (await cachedSnapshot(hubCachePath(), repo) !== null) continue;
    const settings = hubSettings();
    stderr.write(`hub        ${repoId(repo)} is not here: asking ${settings.endpoint}\n`);
    if (await download(repo, null, settings, { stderr, signal }) === null) return false;
  }
  return true;
}

/**
 * Brings what is needed of a repository into the cache, or finds it there where the network must not be used.
 *
 * @param include A pattern that files must match, or null.
 * @returns The folder of its files; null if the user interrupted it.
 * @throws {UserError} If it cannot be had.
 */
export async function download(
  repo: HubRepo,
  include: string | null,
  settings: HubSettings,
  { stderr, signal }: Pick<Context, "stderr" | "signal">,
): Promise<string | null> {
  const cache = hubCachePath();
  const say = (line: string) => stderr.write(`${line}\n`);
  if (settings.offline) {
    const snapshot = await cachedSnapshot(cache, repo);
    if (snapshot === null) {
      throw new UserError(
        `Cannot download ${repo.type} ${
          repoId(repo)
        }: HF_HUB_OFFLINE is set, and it is not in the cache ${cache}`,
      );
    }
    say(`${snapshot}: as it is in the cache, since HF_HUB_OFFLINE is set`);
    return snapshot;
  }
  try {
    const listing = await listRepo(repo, settings);
    const files = neededFiles(listing, include);
    say(
      `${repo.type} ${
        repoId(repo)
      } at ${listing.commit}: ${files.length} of ${listing.files.length} files, ` +
        `${megabytes(files)} MB`,
    );
    const progress = new FileProgress(stderr);
    const snapshot = await downloadFiles(listing, files, {
      settings,
      cache,
      signal,
      onProgress: ({ path, sizeBytes }, doneBytes) => progress.update(path, doneBytes, sizeBytes),
    });
    say(snapshot);
    return snapshot;
  } catch (error) {
    if (!signal.aborted || error instanceof UserError) throw error;
    say("\ninterrupted: the same command goes on where this one ended");
    return null;
  }
}

function megabytes(files: readonly RepoFile[]): string {
  return (files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) / 1e6).toFixed(1);
}
