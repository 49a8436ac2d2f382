import type { Options } from "../config/resolve.ts";
import { UserError } from "../errors.ts";
import { isThere } from "../platform/hub/cache.ts";
import type { RepoListing } from "../platform/hub/listing.ts";
import { type HubRepo, parseRepo } from "../platform/hub/repo.ts";
import { neededFiles } from "../platform/hub/selection.ts";
import { hubSettings } from "../platform/hub/settings.ts";
import type { Context } from "./context.ts";
import { download } from "./hub_files.ts";

/** Brings models and datasets of the hub into its cache, where every other command finds them without network. */
export async function run(
  options: Options<"download">,
  context: Context<"download">,
): Promise<void> {
  const settings = hubSettings();
  for (const repo of await wantedRepos(options, context)) {
    const select = (listing: RepoListing) => neededFiles(listing, options.include);
    const snapshot = await download(repo, select, settings, context);
    if (options.json) {
      const { type, name, revision } = repo;
      context.stdout.write(`${JSON.stringify({ type, name, revision, path: snapshot })}\n`);
    }
  }
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
