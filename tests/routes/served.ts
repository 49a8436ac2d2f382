/** The app with models behind it: made-up ones, or those of shipped_model.ts. */
import assert from "node:assert/strict";
import { createApp } from "../../routes/app.ts";
import type { AppOptions } from "../../routes/app.ts";
import { openStoredModel } from "../../src/platform/models.ts";
import { DiskRuns } from "../../src/platform/run_store.ts";
import { SqliteJobs } from "../../src/platform/sqlite_jobs.ts";
import { SqlitePreferences } from "../../src/platform/sqlite_preferences.ts";
import { DiskUploads } from "../../src/platform/uploads.ts";
import { Evaluations, type Evaluator } from "../../src/serve/evaluations.ts";
import { JobQueue, type JobStore } from "../../src/serve/job_queue.ts";
import { ModelPool } from "../../src/serve/model_pool.ts";
import type { ModelHost } from "../../src/serve/serving.ts";
import type { PreferenceStore } from "../../src/serve/preferences.ts";
import { type TrainingFile, TrainingFiles } from "../../src/serve/training_files.ts";
import { type Trainer, Trainings } from "../../src/serve/trainings.ts";
import { FakeModels } from "./fake_models.ts";
import { StandIn } from "./jobs.ts";

const engine = (Deno.env.get("SMOLDPO_ENGINE") ?? "deno") as "deno" | "dawn";
export const MODEL = "fixtures/model";
/** Names that every server begins with; all are the shipped model. */
export const NAMES = ["policy", "reference"];

using stored = await openStoredModel(MODEL);
export const tokenizer = stored.tokenizer!;
const codec = { tokenizer, stopIds: stored.stopIds };
const started = NAMES.map((name) => ({ name, path: MODEL, codec }));

export const fakes = new FakeModels(tokenizer.vocabSize, NAMES);

const memory = await SqlitePreferences.open(":memory:");

const allowed = new Map<string, TrainingFile>(
  [["fixtures", "train"], ["held-out", "eval"]].map(([id, name]) => [id, {
    id,
    source: "allowed",
    path: `fixtures/pairs/${name}.jsonl`,
    filename: id,
    bytes: 1,
    rows: null,
    createdAt: 0,
  }]),
);

interface Workshop {
  /** Models that may be trained or loaded. */
  most?: number;
  worker?: Trainer & Evaluator;
  preferences?: PreferenceStore;
  /** Who serves `policy` and `reference`. */
  host?: ModelHost;
  jobs?: JobStore;
}

/** What an app needs for jobs, with runs and uploads in a folder. */
function partsOf(
  output: string,
  {
    most = 0,
    worker = new StandIn(),
    preferences = memory,
    host = fakes,
    jobs = SqliteJobs.open(":memory:")!,
  }: Workshop,
) {
  const runs = new DiskRuns(output);
  const codecAt = () => Promise.resolve(codec);
  const pool = new ModelPool({ host, runs, started, most, codecAt });
  const files = new TrainingFiles(allowed, new DiskUploads(`${output}/files`), preferences);
  const queue = new JobQueue(jobs, (line) => assert.fail(line));
  const common = { queue, files, device: { engine, adapter: null, precision: "f32" } as const };
  const trainings = new Trainings({ ...common, pool, runs, trainer: worker, output });
  const evaluations = new Evaluations({ ...common, evaluator: worker });
  queue.restore({
    "fine-tuning": (id, stored) => trainings.revive(id, stored),
    evaluation: (_, stored) => evaluations.revive(stored),
  });
  return { runs, trainings, evaluations };
}

/** An app that trains, and what is behind it. At the end of the scope its jobs end and its models are unloaded. */
export function workshop(output: string, options: Workshop = {}) {
  const parts = partsOf(output, { most: 4, ...options });
  const { queue, pool } = parts.trainings.settings;
  const app = appWith(parts);
  return {
    queue,
    pool,
    offered: parts.trainings.offerModels(),
    ask: (path: string, body?: unknown, more = {}) => ask(path, body, { app, ...more }),
    async [Symbol.asyncDispose]() {
      await queue.close();
      const { host } = pool.options;
      for (const { name } of pool.models.slice(started.length)) await host.removeModel(name);
    },
  };
}

/** The app, with these differences from a server on this machine's own address that trains nothing. */
export function appWith(
  { preferences, host, ...options }:
    & Partial<AppOptions>
    & Pick<Workshop, "preferences" | "host"> = {},
) {
  const security = { apiKey: null, hosts: ["localhost"], corsOrigin: null };
  const limits = { maxQueue: 8, timeout: 60 };
  return createApp({
    ...partsOf("nowhere", { preferences, host }),
    ...limits,
    ...security,
    ...options,
  });
}

export interface Reply {
  status: number;
  headers: Headers;
  // deno-lint-ignore no-explicit-any -- tests look into answers of many shapes
  body: any;
}

/** Asks the app; a body is sent as JSON, unless it is a form. */
export async function ask(
  path: string,
  body?: unknown,
  { app = appWith(), headers = {}, method = body === undefined ? "GET" : "POST" }: {
    app?: ReturnType<typeof appWith>;
    headers?: Record<string, string>;
    method?: string;
  } = {},
): Promise<Reply> {
  const response = await app.request(`http://localhost${path}`, {
    method,
    headers: { ...isJson(body) ? { "content-type": "application/json" } : {}, ...headers },
    body: isJson(body) && typeof body !== "string" ? JSON.stringify(body) : body as BodyInit,
  });
  const text = await response.text();
  const answersJson = /^application\/json\b/.test(response.headers.get("content-type") ?? "");
  return {
    status: response.status,
    headers: response.headers,
    body: answersJson ? JSON.parse(text) : text,
  };
}

const isJson = (body: unknown) => body !== undefined && !(body instanceof FormData);

/** The events of a stream, and whether it ended as it should. */
export function eventsOf(text: string) {
  const data = text.split("\n\n").filter(Boolean).map((event) => event.replace(/^data: /, ""));
  return { ended: data.at(-1) === "[DONE]", events: data.slice(0, -1).map((e) => JSON.parse(e)) };
}

export const messages = (content: string) => [{ role: "user", content }];
