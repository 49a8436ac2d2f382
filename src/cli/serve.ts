import { basename } from "node:path";
import { type AppOptions, createApp } from "../../routes/app.ts";
import type { Options } from "../config/resolve.ts";
import { UserError } from "../errors.ts";
import { openStoredModel } from "../platform/models.ts";
import { DiskRuns } from "../platform/run_store.ts";
import { allowedFiles, existsHere } from "../platform/serving/allowed_files.ts";
import { listen } from "../platform/serving/http_server.ts";
import { RemoteServing } from "../platform/serving/remote_serving.ts";
import { SqliteJobs } from "../platform/sqlite_jobs.ts";
import { SqlitePreferences } from "../platform/sqlite_preferences.ts";
import { DiskUploads } from "../platform/uploads.ts";
import { Evaluations } from "../serve/evaluations.ts";
import { JobQueue } from "../serve/job_queue.ts";
import { ModelPool } from "../serve/model_pool.ts";
import type { TextCodec } from "../serve/serving.ts";
import { TrainingFiles } from "../serve/training_files.ts";
import { Trainings } from "../serve/trainings.ts";
import type { Context } from "./context.ts";

/** Addresses of this machine that no other one reaches. */
const OWN_HOSTS = ["127.0.0.1", "localhost", "::1"];
/** The same as `Host` has them; another name there means that a page was lured here. */
const OWN_NAMES = ["127.0.0.1", "localhost", "[::1]"];

/** The HTTP server. It runs until it is interrupted, then lets answers in work finish. */
export async function run(options: Options<"serve">, context: Context<"serve">): Promise<void> {
  const say = (line: string) => context.stderr.write(`${line}\n`);
  const apiKey = options.apiKey ?? (Deno.env.get("SMOLDPO_API_KEY") || null);
  if (!OWN_HOSTS.includes(options.host) && apiKey === null) {
    throw new UserError(
      `Expected a key in SMOLDPO_API_KEY for --host ${options.host}, found none: without a key anyone on the network could use the server`,
    );
  }
  const corsOrigin = originOf(options);
  const output = outputOf(options);
  const named = namedModels(options);
  const started = await Promise.all(
    named.map(async (place) => ({ ...place, codec: await codecAt(place.path) })),
  );
  const allowed = await allowedFiles(context.resolved);
  const preferences = await SqlitePreferences.open(options.preferences);
  using jobs = openJobs(output, say);
  const serving = await RemoteServing.start({
    device: options,
    models: named,
    slots: options.parallel,
    positions: options.maxModelLen,
    cacheMiB: options.kvCacheMib,
  }, say);
  try {
    const runs = new DiskRuns(output);
    const most = options.maxTrainedModels;
    const pool = new ModelPool({ host: serving, runs, started, most, codecAt });
    const files = new TrainingFiles(allowed, new DiskUploads(`${output}/files`), preferences);
    const queue = new JobQueue(jobs, say);
    const common = { queue, files, device: options };
    const trainings = new Trainings({ ...common, pool, runs, trainer: serving, output });
    const evaluations = new Evaluations({ ...common, evaluator: serving });
    queue.restore({
      "fine-tuning": (id, stored) => trainings.revive(id, stored),
      evaluation: (_, stored) => evaluations.revive(stored),
    });
    await trainings.offerModels();
    return await serve({ runs, trainings, evaluations, apiKey, corsOrigin }, options, context);
  } finally {
    serving.close();
    preferences.close();
  }
}

async function serve(
  given: Pick<AppOptions, "runs" | "trainings" | "evaluations" | "apiKey" | "corsOrigin">,
  options: Options<"serve">,
  context: Context<"serve">,
): Promise<void> {
  const say = (line: string) => context.stderr.write(`${line}\n`);
  let ready = true;
  const { queue, pool } = given.trainings.settings;
  const app = createApp({
    ...given,
    maxQueue: options.maxQueue,
    timeout: options.timeout,
    hosts: OWN_HOSTS.includes(options.host) ? OWN_NAMES : null,
    isReady: () => ready,
    log: say,
  });
  const server = await listen(options, app.fetch);
  say(`listening  http://${server.address}`);
  if (options.json) context.stdout.write(`${JSON.stringify({ address: server.address })}\n`);

  await interrupted(context.signal);
  ready = false;
  say("Shutting down: answers in work may finish; once more to stop at once");
  const late = setTimeout(() => {
    pool.options.host.close();
    server.breakOff();
  }, options.shutdownTimeout * 1000);
  await Promise.all([server.close(), queue.close()]);
  clearTimeout(late);
}

/** Jobs outlast a server, but for those of the second one with the same `--output`. */
function openJobs(output: string, say: (line: string) => void): SqliteJobs {
  const jobs = SqliteJobs.open(`${output}/jobs.db`);
  if (jobs) return jobs;
  say(
    `jobs       another server has ${output}/jobs.db: those of this one are forgotten at its end; --output gives it a folder of its own`,
  );
  return SqliteJobs.open(":memory:")!;
}

/**
 * The origin as browsers send it.
 *
 * @throws {UserError} If it is none, or several.
 */
function originOf({ corsOrigin }: Options<"serve">): string | null {
  if (corsOrigin === null) return null;
  const [, origin] = /^([a-z][a-z0-9+.-]*:\/\/[^/?#,*\s]+)\/?$/i.exec(corsOrigin) ?? [];
  if (origin !== undefined) return origin.toLowerCase();
  throw new UserError(
    `Expected --cors-origin to be one origin, such as https://example.com or app://obsidian.md, found "${corsOrigin}"`,
  );
}

/** The models to serve, with the names that clients call them. */
function namedModels({ model, reference, servedModelName }: Options<"serve">) {
  const models = [{ name: servedModelName ?? nameOf(model), path: model }];
  if (reference !== null) models.push({ name: nameOf(reference), path: reference });
  if (models.length === 2 && models[0].name === models[1].name) {
    throw new UserError(
      `Expected different names for model and reference, found "${
        models[0].name
      }" twice: use --served-model-name`,
    );
  }
  return models;
}

async function codecAt(path: string): Promise<TextCodec> {
  using stored = await openStoredModel(path);
  const { tokenizer, stopIds } = stored;
  return { tokenizer, stopIds };
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

/** A directory's own name; a model of the hub is called what it is called there. */
function nameOf(path: string): string {
  return /^[\w.-]+\/[\w.-]+(@|$)/.test(path) && !path.startsWith(".") && !existsHere(path)
    ? path
    : basename(path);
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
