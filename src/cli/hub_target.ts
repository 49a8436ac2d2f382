/** Where a model goes on the hub: made ready before the work, filled after it. */
import type { Options } from "../config/resolve.ts";
import { UserError } from "../errors.ts";
import { openDirectory } from "../platform/files.ts";
import { type HubRepo, parseRepo, repoId } from "../platform/hub/repo.ts";
import { type HubSettings, hubSettings } from "../platform/hub/settings.ts";
import { createModelRepo, uploadModel } from "../platform/hub/upload.ts";
import { type Context, Interrupted } from "./context.ts";

/** A repository that is there and may be written to. */
export interface HubTarget {
  repo: HubRepo;
  settings: HubSettings;
}

type Flags = Pick<Options<"upload">, "hubModelId" | "hubPrivateRepo">;

/**
 * Makes the repository where it is missing, which shows whether the token may write there.
 *
 * @throws {UserError} If there is no name or no token, the hub refuses, or it cannot be reached.
 */
export async function openHubTarget({ hubModelId, hubPrivateRepo }: Flags): Promise<HubTarget> {
  const repo = hubModelId === null ? null : parseRepo("model", hubModelId);
  if (repo === null) {
    throw new UserError(
      `Expected --hub-model-id ORG/NAME to say where to upload, found ${hubModelId ?? "none"}`,
    );
  }
  const settings = hubSettings();
  await createModelRepo(repo, settings, hubPrivateRepo);
  return { repo, settings };
}

/** {@link openHubTarget} if the user asks for `--push-to-hub`, else null. */
export async function openPushTarget(
  options: Flags & Pick<Options<"train">, "pushToHub">,
): Promise<HubTarget | null> {
  return options.pushToHub ? await openHubTarget(options) : null;
}

/**
 * Uploads a model directory.
 *
 * @returns The address of the commit.
 * @throws {UserError} If it cannot be uploaded.
 * @throws {Interrupted} If the user interrupted it.
 */
export async function fillHubTarget(
  { repo, settings }: HubTarget,
  path: string,
  { stderr, signal }: Pick<Context, "stderr" | "signal">,
): Promise<string> {
  const shown = new Map<string, number>();
  try {
    const url = await uploadModel(await openDirectory(path), repo, {
      settings,
      title: "Upload model with smoldpo",
      signal,
      onProgress(name, share) {
        const percent = Math.floor(share * 10) * 10;
        if (percent === shown.get(name)) return;
        shown.set(name, percent);
        stderr.write(`${String(percent).padStart(3)} %  ${name}\n`);
      },
    });
    stderr.write(`uploaded   ${path} to ${repoId(repo)}: ${url}\n`);
    return url;
  } catch (error) {
    if (!signal.aborted || error instanceof UserError) throw error;
    stderr.write("\ninterrupted: the repository is as it was\n");
    throw new Interrupted();
  }
}

/**
 * Uploads what a command has just written. That is kept, whatever becomes of the upload.
 *
 * @throws {UserError} As {@link fillHubTarget}, with the command that repeats it.
 */
export async function pushToHub(
  target: HubTarget,
  path: string,
  context: Pick<Context, "stderr" | "signal">,
): Promise<void> {
  const again = `deno task upload --model ${path} --hub-model-id ${repoId(target.repo)}`;
  try {
    await fillHubTarget(target, path, context);
  } catch (error) {
    if (error instanceof Interrupted) context.stderr.write(`"${again}" uploads ${path}\n`);
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${error.message}; ${path} is complete, and "${again}" uploads it`);
  }
}
