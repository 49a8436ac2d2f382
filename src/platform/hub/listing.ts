import { createHash, type Hash } from "node:crypto";
// The hub's own client knows its API: expansion of fields, paging, errors. Loaded where it is needed, since a cached
// model needs none of it. It checks nothing that it downloads, so files go through download.ts instead.
import type { HubApiError } from "@huggingface/hub";
import { UserError } from "../../errors.ts";
import { patientFetch } from "./patient_fetch.ts";
import { type HubRepo, repoId } from "./repo.ts";
import type { HubSettings } from "./settings.ts";

/** A file of a repository, as the hub lists it. */
export interface RepoFile {
  /** With slashes, relative to the repository; safe to join to a folder. */
  path: string;
  sizeBytes: number;
  /** What the content must hash to, hexadecimal: SHA-256 of a large file, git's SHA-1 of a small one. */
  hash: string;
}

/** All files of a repository at one commit. */
export interface RepoListing {
  repo: HubRepo;
  commit: string;
  files: RepoFile[];
}

/**
 * Asks the hub for a repository's files.
 *
 * @throws {UserError} If the repository or the revision does not exist, needs a token, or the hub cannot be reached.
 */
export async function listRepo(repo: HubRepo, settings: HubSettings): Promise<RepoListing> {
  const { name, revision } = repo;
  const common = { hubUrl: settings.endpoint, accessToken: settings.token, fetch: patientFetch };
  return await explainHub(`list ${repo.type} ${repoId(repo)}`, settings, async () => {
    const { datasetInfo, listFiles, modelInfo } = await import("@huggingface/hub");
    const query = { ...common, name, revision, additionalFields: ["sha" as const] };
    const { sha: commit } = repo.type === "model"
      ? await modelInfo(query)
      : await datasetInfo(query);
    if (!/^[0-9a-f]{40}$/.test(commit)) throw malformed(repo, "a commit", commit);
    const files: RepoFile[] = [];
    const entries = listFiles({ ...common, repo, revision: commit, recursive: true });
    for await (const { type, path, size, oid, lfs } of entries) {
      if (type === "directory") continue;
      const file = { path, sizeBytes: lfs?.size ?? size, hash: lfs?.oid ?? oid ?? "" };
      checkFile(repo, file, lfs !== undefined);
      files.push(file);
    }
    return { repo, commit, files };
  });
}

/** What is listed becomes names of files here and numbers to trust, so it is looked at first. */
function checkFile(repo: HubRepo, { path, sizeBytes, hash }: RepoFile, large: boolean): void {
  const parts = typeof path === "string" ? path.split("/") : [];
  // deno-lint-ignore no-control-regex -- file names of other people
  const plain = (part: string) => !/^\.{0,2}$|[\\\x00-\x1f]|^[A-Za-z]:/.test(part);
  if (parts.length === 0 || !parts.every(plain)) {
    throw malformed(repo, "paths within the repository", path);
  }
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) {
    throw malformed(repo, `a size of "${path}" in bytes`, sizeBytes);
  }
  if (!(large ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/).test(hash)) {
    throw malformed(repo, `a hash of "${path}"`, hash);
  }
}

function malformed(repo: HubRepo, expected: string, found: unknown): UserError {
  return new UserError(
    `Cannot list ${repo.type} ${repoId(repo)}: expected ${expected} from the hub, found ${
      JSON.stringify(found)
    }`,
  );
}

/** Starts the hash that {@link RepoFile.hash} must come out of. */
export function startHash({ hash, sizeBytes }: RepoFile): Hash {
  return hash.length === 64
    ? createHash("sha256")
    : createHash("sha1").update(`blob ${sizeBytes}\0`); // as git names a file's content
}

/** Runs `action` and turns what the hub and the network complain of into one line with a remedy. */
export async function explainHub<T>(
  task: string,
  settings: HubSettings,
  action: () => Promise<T>,
): Promise<T> {
  try {
    return await action();
  } catch (error) {
    const command = task.startsWith("upload") ? "upload" : "download";
    const reason = hubReason(error, command, settings);
    throw reason === null ? error : new UserError(`Cannot ${task}: ${reason}`);
  }
}

function hubReason(
  error: unknown,
  command: string,
  { endpoint, token }: HubSettings,
): string | null {
  if (error instanceof Deno.errors.NotCapable) {
    const host = /"([^"]+)"/.exec(error.message)?.[1] ?? "HOST";
    return `this task may not use the network beyond Hugging Face's hosts; for ${endpoint} run ` +
      `"deno run -P=${command} --allow-net=${host} src/cli/main.ts ${command}" and the flags`;
  }
  const status = (error as Partial<HubApiError>).statusCode;
  if (status !== undefined) {
    const [words] = (error as Error).message.split(/\n|\. URL: /);
    return statusReason(status, token !== undefined, words);
  }
  // Deno's fetch throws TypeErrors for all that can go wrong below HTTP.
  if (error instanceof TypeError && /fetch failed|sending request|body/.test(error.message)) {
    const { message } = error.cause instanceof Error ? error.cause : error;
    return `${endpoint} cannot be reached (${message})`;
  }
  if (error instanceof TypeError || error instanceof SyntaxError) {
    return `${endpoint} does not answer like a hub (${error.message})`;
  }
  return null;
}

/**
 * What an HTTP status of the hub means for the user.
 *
 * @param words What the hub itself says; shown where we know no better.
 */
export function statusReason(status: number, hasToken: boolean, words = ""): string {
  switch (status) {
    case 401:
      return hasToken
        ? "the hub does not accept HF_TOKEN; make a new one in the hub's settings"
        : "there is no such repository, or it is private: check the name, or set HF_TOKEN";
    case 403:
      return hasToken
        ? "HF_TOKEN does not permit it; accept the repository's conditions on its page, or take another token"
        : "it is gated: accept the repository's conditions on its page, and set HF_TOKEN";
    case 404:
      return "the hub has no such repository, revision or file; check the name";
    case 429:
      return "the hub asks to wait (status 429); try again later, or set HF_TOKEN";
    default:
      return `the hub answers with status ${status}${words && ` (${words})`}; try again later`;
  }
}
