import type { Options } from "../config.ts";
import { UserError } from "../errors.ts";
import { parseRepo, repoId } from "../platform/hub/repo.ts";
import { hubSettings } from "../platform/hub/settings.ts";
import { uploadModel } from "../platform/hub/upload.ts";
import { locateModel, openModelAt } from "../platform/models.ts";
import type { Context } from "./context.ts";

const INTERRUPTED = 130;

/** Puts a model on the hub. A command of its own, so that nothing else here may send anything anywhere. */
export async function run(options: Options<"upload">, context: Context<"upload">): Promise<number> {
  const { model, hubModelId, hubPrivateRepo, json } = options;
  const { stdout, stderr, signal } = context;
  const repo = hubModelId === null ? null : parseRepo("model", hubModelId);
  if (repo === null) {
    throw new UserError(
      `Expected --hub-model-id ORG/NAME to say where to upload, found ${hubModelId ?? "none"}`,
    );
  }
  const settings = hubSettings();
  const { directory, file } = await locateModel(model);
  if (file !== null) {
    throw new UserError(
      `Expected --model to be a directory, found the file ${model}: convert it first`,
    );
  }
  (await openModelAt(model)).close(); // only what can be loaded again
  const shown = new Map<string, number>();
  try {
    const url = await uploadModel(directory, repo, {
      settings,
      isPrivate: hubPrivateRepo,
      title: "Upload model with smoldpo",
      signal,
      onProgress(name, share) {
        const percent = Math.floor(share * 10) * 10;
        if (percent === shown.get(name)) return;
        shown.set(name, percent);
        stderr.write(`${String(percent).padStart(3)} %  ${name}\n`);
      },
    });
    stderr.write(`uploaded   ${model} to ${repoId(repo)}: ${url}\n`);
    if (json) stdout.write(`${JSON.stringify({ repo: repo.name, url })}\n`);
    return 0;
  } catch (error) {
    if (!signal.aborted || error instanceof UserError) throw error;
    stderr.write("\ninterrupted: the repository is as it was\n");
    return INTERRUPTED;
  }
}
