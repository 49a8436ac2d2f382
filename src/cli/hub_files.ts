/** What a command line names of the hub: found in the cache, or brought there. */
import { basename } from "node:path";
import type { OptionName, Origin } from "../config/resolve.ts";
import { givenByUser } from "../config/origins.ts";
import { parseDatasetArgument, type SplitChoice } from "../data/source.ts";
import { UserError } from "../errors.ts";
import { hubPlace, missingOfDataset } from "../platform/datasets.ts";
import { cachedSnapshot, isThere, snapshotFolder } from "../platform/hub/cache.ts";
import { downloadFiles } from "../platform/hub/download.ts";
import { rememberFiles } from "../platform/hub/files_of_commit.ts";
import { listRepo, type RepoFile, type RepoListing } from "../platform/hub/listing.ts";
import { type HubRepo, parseRepo, repoId } from "../platform/hub/repo.ts";
import { cardOf, neededFiles } from "../platform/hub/selection.ts";
import { hubCachePath, type HubSettings, hubSettings } from "../platform/hub/settings.ts";
import { type Context, Interrupted } from "./context.ts";
import { FileProgress } from "./file_progress.ts";

const MODELS = ["model", "reference", "configFrom"] as const satisfies OptionName[];
/** With the split that is taken where the user names none. */
const DATASETS = [["dataset", "train"], ["evalDataset", "test"]] as const;

/** Names of files that are not there; nobody calls a repository so. */
const A_FILE = /\.(?:jsonl?|gz|zst|parquet|safetensors|pth?|bin)$/;

type Streams = Pick<Context, "stderr" | "signal">;

/** A command's context, whatever options it has. */
interface Asking extends Streams {
  resolved: {
    options: Partial<Record<OptionName, unknown>>;
    origins: Readonly<Record<string, Origin>>;
  };
}

/**
 * Downloads the models and datasets that the user's flags name and neither this machine nor the hub's cache has; of a
 * dataset the files that are meant. What is in the cache is taken as it is there. Only for commands that may write, and
 * never for what somebody else names.
 *
 * @throws {UserError} If something cannot be had.
 * @throws {Interrupted} If the user interrupted it.
 */
export async function bringFromHub(
  { resolved: { options, origins }, ...context }: Asking,
): Promise<void> {
  const named = (option: OptionName): string | null => {
    const value = options[option];
    const byUser = givenByUser(origins, option);
    return byUser && typeof value === "string" ? value : null;
  };
  for (const option of MODELS) {
    const id = named(option);
    const repo = id === null || await isThere(id) ? null : parseRepo("model", id);
    if (repo === null || await isHere(repo)) continue;
    await fetchRepo(repo, context, (listing) => neededFiles(listing, null));
  }
  for (const [option, preferred] of DATASETS) {
    const choice = { config: named(`${option}Config`), split: named(`${option}Split`), preferred };
    const value = givenByUser(origins, option) ? options[option] : null;
    const datasets = typeof value === "object" && value !== null ? Object.values(value) : [value];
    for (const argument of datasets) {
      if (typeof argument === "string") await bringDatasets(argument, choice, context);
    }
  }
}

/** First the card, which says what the files are; then those that are meant. */
async function bringDatasets(
  argument: string,
  choice: SplitChoice,
  context: Streams,
): Promise<void> {
  for (const { location } of parseDatasetArgument(argument)) {
    const place = await hubPlace(location);
    if (place === null || await isHere(place.repo)) continue;
    await fetchRepo(place.repo, context, cardOf);
  }
  const settings = hubSettings();
  for (const { repo, paths } of settings.offline ? [] : await missingOfDataset(argument, choice)) {
    const commit = basename(await cachedSnapshot(hubCachePath(), repo) ?? "");
    const select = ({ files }: RepoListing) => files.filter(({ path }) => paths.includes(path));
    await download({ ...repo, revision: commit }, select, settings, context);
  }
}

async function isHere(repo: HubRepo): Promise<boolean> {
  return A_FILE.test(repo.name) || await cachedSnapshot(hubCachePath(), repo) !== null;
}

async function fetchRepo(
  repo: HubRepo,
  context: Streams,
  select: Select,
): Promise<string> {
  const settings = hubSettings();
  context.stderr.write(`hub        ${repoId(repo)} is not here: asking ${settings.endpoint}\n`);
  return await download(repo, select, settings, context);
}

/** Picks files of a repository. */
type Select = (listing: RepoListing) => RepoFile[];

/**
 * Brings files of a repository into the cache, or finds it there where the network must not be used.
 *
 * @returns The folder of its files.
 * @throws {UserError} If it cannot be had.
 * @throws {Interrupted} If the user interrupted it.
 */
export async function download(
  repo: HubRepo,
  select: Select,
  settings: HubSettings,
  { stderr, signal }: Streams,
): Promise<string> {
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
    const files = select(listing);
    say(
      `${repo.type} ${
        repoId(repo)
      } at ${listing.commit}: ${files.length} of ${listing.files.length} files, ` +
        `${megabytes(files)} MB`,
    );
    if (repo.type === "dataset") {
      const whole = neededFiles(listing, null).map(({ path }) => path);
      await rememberFiles(snapshotFolder(cache, repo, listing.commit), whole);
    }
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
    throw new Interrupted();
  }
}

function megabytes(files: readonly RepoFile[]): string {
  return (files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) / 1e6).toFixed(1);
}
