import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Directory } from "../../formats/files.ts";
import { UserError } from "../../errors.ts";
import { explainHub } from "./listing.ts";
import { patientFetch } from "./patient_fetch.ts";
import { type HubRepo, repoId } from "./repo.ts";
import type { HubSettings } from "./settings.ts";

/** What an upload needs to know besides the files. */
export interface UploadOptions {
  settings: HubSettings;
  title: string;
  signal: AbortSignal;
  /** Called with how much of a file has been sent, from 0 to 1. */
  onProgress(file: string, share: number): void;
}

/**
 * Makes a repository, unless it is there.
 *
 * @throws {UserError} If there is no token, the hub refuses, or it cannot be reached.
 */
export async function createModelRepo(
  repo: HubRepo,
  settings: HubSettings,
  isPrivate: boolean,
): Promise<void> {
  const { endpoint, token, offline } = settings;
  const task = `upload to ${repoId(repo)}`;
  if (offline) throw new UserError(`Cannot ${task}: HF_HUB_OFFLINE is set`);
  if (token === undefined) {
    throw new UserError(
      `Cannot ${task}: expected HF_TOKEN to hold a token that may write, found none`,
    );
  }
  await explainHub(task, settings, async () => {
    const { createRepo } = await import("@huggingface/hub");
    const visibility = isPrivate ? "private" : "public";
    await createRepo({
      repo,
      hubUrl: endpoint,
      accessToken: token,
      visibility,
      fetch: patientFetch,
    })
      .catch(ignoreExisting);
  });
}

/**
 * Puts all plain files of a model directory, but those with a dot before their name, into a repository of the hub. It is
 * one commit: either all of them are there, or the repository is as before.
 *
 * @returns The address of the commit.
 * @throws {UserError} If the hub refuses, or it cannot be reached.
 */
export async function uploadModel(
  directory: Directory,
  repo: HubRepo,
  { settings, title, signal, onProgress }: UploadOptions,
): Promise<string> {
  const files = (await directory.list()).filter((name) => !name.startsWith("."));
  const { endpoint, token } = settings;
  const common = { repo, hubUrl: endpoint, accessToken: token, fetch: patientFetch };
  return await explainHub(`upload to ${repoId(repo)}`, settings, async () => {
    const { commitIter } = await import("@huggingface/hub");
    const operations = files.map((path) => ({
      operation: "addOrUpdate" as const,
      path,
      // Read from the disk as it is sent.
      content: pathToFileURL(resolve(directory.name, path)),
    }));
    const branch = repo.revision;
    const steps = commitIter({ ...common, operations, title, branch, abortSignal: signal });
    for (;;) {
      const { done, value } = await steps.next();
      if (done) return value!.commit.url;
      if (value.event === "fileProgress" && value.state === "uploading") {
        onProgress(value.path, value.progress);
      }
    }
  });
}

const CONFLICT = 409;

function ignoreExisting(error: unknown): void {
  if ((error as { statusCode?: number }).statusCode !== CONFLICT) throw error;
}
