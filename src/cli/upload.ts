import type { Options } from "../config/resolve.ts";
import { UserError } from "../errors.ts";
import { locateModel, openModelAt } from "../platform/models.ts";
import type { Context } from "./context.ts";
import { fillHubTarget, openHubTarget } from "./hub_target.ts";

/** Puts a model on the hub. */
export async function run(options: Options<"upload">, context: Context<"upload">): Promise<void> {
  const { model, json } = options;
  const { directory, file } = await locateModel(model);
  if (file !== null) {
    throw new UserError(
      `Expected --model to be a directory, found the file ${model}: convert it first`,
    );
  }
  (await openModelAt(model)).close(); // only what can be loaded again
  const target = await openHubTarget(options);
  const url = await fillHubTarget(target, directory.name, context);
  if (json) context.stdout.write(`${JSON.stringify({ repo: target.repo.name, url })}\n`);
}
