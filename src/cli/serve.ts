import { basename } from "node:path";
import type { Voice } from "../../routes/api.ts";
import { type AppOptions, createApp } from "../../routes/app.ts";
import type { Options } from "../config.ts";
import { UserError } from "../errors.ts";
import { openDataset } from "../platform/datasets.ts";
import { SqlitePreferences } from "../platform/sqlite_preferences.ts";
import { JobQueue, type JobSettings, type TrainingFile } from "../serve/jobs.ts";
import { stopIdsOf } from "../text/prompt.ts";
import type { Context } from "./context.ts";
import { openDevice } from "./device.ts";
import { openStoredModel } from "./inputs.ts";
import { RemoteServing } from "./serving/remote_serving.ts";

/** Names by which this machine reaches itself; another `Host` means that a page was lured here. */
const OWN_NAMES = ["127.0.0.1", "localhost", "[::1]"];

/** The HTTP server. It runs until it is interrupted, then lets answers in work finish. */
export async function run(options: Options<"serve">, context: Context<"serve">): Promise<number> {
  const say = (line: string) => context.stderr.write(`${line}\n`);
  if (options.adapter === "list") {
    await openDevice(options, context);
    return 0;
  }
  const apiKey = options.apiKey ?? Deno.env.get("SMOLDPO_API_KEY") ?? null;
  if (!OWN_NAMES.includes(options.host) && apiKey === null) {
    throw new UserError(
      `Expected a key in SMOLDPO_API_KEY for --host ${options.host}, found none: other machines could ask without one`,
    );
  }
  const models = namedModels(options);
  const preferences = await SqlitePreferences.open(options.preferences);
  const voices = new Map<string, Voice>();
  for (const { name, path } of models) {
    using stored = await openStoredModel(path, context);
    const { config, tokenizer } = stored;
    voices.set(name, { tokenizer, stopIds: stopIdsOf(config, tokenizer) });
  }
  const training: JobSettings | null = options.maxTrainedModels === 0 ? null : {
    models: new Map(models.map(({ name, path }) => [name, path])),
    files: await trainingFiles(options, context),
    output: outputOf(options),
    most: options.maxTrainedModels,
    device: options,
    log: say,
  };
  const serving = await RemoteServing.start({
    device: options,
    models,
    slots: options.parallel,
    positions: options.maxModelLen,
    cacheMiB: options.kvCacheMib,
  }, say);
  try {
    const jobs = training && new JobQueue(serving, training);
    return await serve(serving, { voices, preferences, jobs, apiKey }, options, context);
  } finally {
    serving.close();
    preferences.close();
  }
}

async function serve(
  serving: RemoteServing,
  given: Pick<AppOptions, "voices" | "preferences" | "jobs" | "apiKey">,
  options: Options<"serve">,
  context: Context<"serve">,
): Promise<number> {
  const say = (line: string) => context.stderr.write(`${line}\n`);
  let ready = true;
  const app = createApp(serving, {
    ...given,
    maxQueue: options.maxQueue,
    hosts: OWN_NAMES.includes(options.host) ? OWN_NAMES : null,
    corsOrigin: options.corsOrigin,
    isReady: () => ready,
    log: say,
  });
  const server = listen(options, (address) => {
    say(`listening  http://${address}`);
    if (options.json) context.stdout.write(`${JSON.stringify({ address })}\n`);
  }, app.fetch);

  await interrupted(context.signal);
  ready = false;
  say("Shutting down: answers in work may finish; once more to stop at once");
  const late = setTimeout(() => serving.close(), options.shutdownTimeout * 1000);
  await Promise.all([server.shutdown(), given.jobs?.close()]);
  clearTimeout(late);
  return 0;
}

/** The models to serve, with the names that clients call them. */
function namedModels({ model, reference, servedModelName }: Options<"serve">) {
  const models = [{ name: servedModelName ?? nameOf(model), path: model }];
  if (reference !== null) models.push({ name: nameOf(reference), path: reference });
  if (models.length === 2 && models[0].name === models[1].name) {
    throw new UserError(
      `Expected model and reference with names of their own, found "${
        models[0].name
      }" twice: use --served-model-name`,
    );
  }
  return models;
}

/**
 * The datasets that jobs may use, by name. The shipped ones are left out where they are not.
 *
 * @throws {UserError} If one is not there, or has no name.
 */
async function trainingFiles(
  { trainingFiles }: Options<"serve">,
  { resolved }: Context<"serve">,
): Promise<Map<string, TrainingFile>> {
  const files = new Map<string, TrainingFile>();
  for (const item of trainingFiles.split(",")) {
    const [, name, path] = /^([\w.-]{1,64})=(.+)$/.exec(item) ?? [];
    if (name === undefined || files.has(name)) {
      throw new UserError(
        `Expected --training-files as NAME=PATH,... with a name for each, found "${item}"`,
      );
    }
    const isShipped = resolved.origins.trainingFiles.source === "default";
    if (isShipped && !existsHere(path)) continue;
    await openDataset(path, { split: null, preferred: "train" });
    files.set(name, { path, bytes: bytesOf(path) });
  }
  return files;
}

/** @throws {UserError} If this process may not write there. */
function outputOf({ output }: Options<"serve">): string {
  const path = output!; // has a default
  if (Deno.permissions.querySync({ name: "write", path }).state === "granted") return path;
  throw new UserError(
    `Expected --output to be runs, the one folder that the serve task may write to, found ${path}: ` +
      "add it to the permissions of serve in deno.json",
  );
}

/** null where it is not one file of this machine. */
function bytesOf(path: string): number | null {
  return existsHere(path) && Deno.statSync(path).isFile ? Deno.statSync(path).size : null;
}

/** A directory's own name; a model of the hub is called what it is called there. */
function nameOf(path: string): string {
  return /^[\w.-]+\/[\w.-]+(@|$)/.test(path) && !path.startsWith(".") && !existsHere(path)
    ? path
    : basename(path);
}

function existsHere(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

function listen(
  { host, port }: Options<"serve">,
  onListen: (address: string) => void,
  fetch: Deno.ServeHandler,
): Deno.HttpServer {
  try {
    return Deno.serve({
      hostname: host,
      port,
      onListen: ({ hostname, port }) => onListen(`${hostname}:${port}`),
    }, fetch);
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      throw new UserError(
        `Expected port ${port} to be free, found it in use: choose another --port`,
      );
    }
    if (error instanceof Deno.errors.NotCapable || error instanceof Deno.errors.AddrNotAvailable) {
      throw new UserError(`Cannot listen on ${host}: ${(error as Error).message}`);
    }
    throw error;
  }
}

/** Waits for the first interrupt, or for the SIGTERM that service managers send. */
async function interrupted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) resolve();
  signal.addEventListener("abort", () => resolve(), { once: true });
  const terminates = Deno.build.os !== "windows"; // which has no SIGTERM to listen for
  if (terminates) Deno.addSignalListener("SIGTERM", resolve);
  await promise;
  if (terminates) Deno.removeSignalListener("SIGTERM", resolve);
}
