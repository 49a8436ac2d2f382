import type { Options } from "../config.ts";
import { UserError } from "../errors.ts";
import { cachedSnapshot, isThere } from "../platform/hub/cache.ts";
import { downloadFiles } from "../platform/hub/download.ts";
import { listRepo, type RepoFile } from "../platform/hub/listing.ts";
import { type HubRepo, parseRepo, repoId } from "../platform/hub/repo.ts";
import { neededFiles } from "../platform/hub/selection.ts";
import { hubCachePath, type HubSettings, hubSettings } from "../platform/hub/settings.ts";
import type { Context } from "./context.ts";
import { FileProgress } from "./file_progress.ts";

const INTERRUPTED = 130;

/** Brings models and datasets of the hub into its cache, where every other command finds them without network. */
export async function run(
  options: Options<"download">,
  context: Context<"download">,
): Promise<number> {
  const settings = hubSettings();
  for (const repo of await wantedRepos(options, context)) {
    try {
      const snapshot = await download(repo, options.include, settings, context);
      if (options.json) {
        const { type, name, revision } = repo;
        context.stdout.write(`${JSON.stringify({ type, name, revision, path: snapshot })}\n`);
      }
    } catch (error) {
      if (!context.signal.aborted || error instanceof UserError) throw error;
      context.stderr.write("\ninterrupted: the same command goes on where this one ended\n");
      return INTERRUPTED;
    }
  }
  return 0;
}

/** What the user named, except for what is here. */
async function wantedRepos(
  { model, dataset }: Options<"download">,
  { stderr, resolved: { origins } }: Context<"download">,
): Promise<HubRepo[]> {
  const named = ([["model", model], ["dataset", dataset]] as const)
    .filter(([type]) => origins[type].source !== "default");
  if (named.length === 0) {
    throw new UserError(
      "Expected --model ORG/NAME or --dataset ORG/NAME to say what to download, found neither",
    );
  }
  const repos: HubRepo[] = [];
  for (const [type, id] of named) {
    const repo = parseRepo(type, id);
    if (await isThere(id)) {
      stderr.write(`${id} is here: nothing to download\n`);
    } else if (repo === null) {
      throw new UserError(`Expected --${type} to be ORG/NAME or ORG/NAME@REVISION, found "${id}"`);
    } else {
      repos.push(repo);
    }
  }
  return repos;
}

async function download(
  repo: HubRepo,
  include: string | null,
  settings: HubSettings,
  { stderr, signal }: Context<"download">,
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
}

function megabytes(files: readonly RepoFile[]): string {
  return (files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) / 1e6).toFixed(1);
}
