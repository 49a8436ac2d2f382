/** /v1/fine_tuning/jobs: training by preference, as in OpenAI's API; every option of `train` besides, in a field `smoldpo`. */
import { type Context, Hono } from "hono";
import { describeRoute } from "hono-openapi";
import { z } from "zod";
import { commandLineOf } from "../src/serve/command_line.ts";
import { snakeCase, stemOf } from "../src/config/values.ts";
import { isUnderWay, type Job, type JobEvent } from "../src/serve/job_queue.ts";
import type { Hyperparameters } from "../src/serve/job_options.ts";
import type { ModelPool } from "../src/serve/model_pool.ts";
import { modelName, type RunStore } from "../src/serve/runs.ts";
import type { TrainingFile, TrainingFiles } from "../src/serve/training_files.ts";
import type { NamedModel, Training, TrainingRequest, Trainings } from "../src/serve/trainings.ts";
import { noModel } from "./api.ts";
import { ApiError, outOfService } from "./errors.ts";
import { eventStream } from "./event_stream.ts";
import { fileOf } from "./files.ts";
import { pageOf, PageQuery } from "./pagination.ts";
import { json, query } from "./validate.ts";

const tag = { tags: ["fine-tuning"] };
const auto = (number: z.ZodNumber) => z.union([z.literal("auto"), number]).nullish();

const OptionValue = z.union([z.string().max(512), z.number(), z.boolean()]);

/** Options of a command by name, in any spelling. */
export const GivenOptions = z.record(z.string().max(64), OptionValue).nullish();

/** Held-out sets that one job may have. */
const MOST_SETS = 16;
const FileId = z.string().max(512);

/** Files of /v1/files to hold out: one, several called by their names, or several with other names. */
const HeldOutFiles = z.union([
  FileId,
  z.array(FileId).min(1).max(MOST_SETS),
  z.record(z.string().regex(/^[\w.-]{1,64}$/), FileId).refine((sets) => {
    const { length } = Object.keys(sets);
    return length > 0 && length <= MOST_SETS;
  }, `expected 1 to ${MOST_SETS} sets`),
]);

const JobRequest = z.strictObject({
  model: z.string().max(512),
  training_file: z.string().max(512),
  validation_file: z.string().max(512).nullish(),
  method: z.strictObject({
    type: z.literal("dpo"),
    dpo: z.strictObject({
      hyperparameters: z.strictObject({
        beta: auto(z.number().gt(0).max(1e6)),
        batch_size: auto(z.int().min(1).max(4096)),
        n_epochs: auto(z.int().min(1).max(1000)),
        learning_rate_multiplier: auto(z.number().gt(0).max(1e6)),
      }).nullish(),
    }).nullish(),
  }),
  seed: z.int().min(0).max(2 ** 32 - 1).nullish(),
  suffix: z.string().regex(
    /^[\w.-]{1,64}$/,
    "expected letters, digits, dots and dashes, at most 64",
  ).nullish(),
  metadata: z.record(z.string().max(64), z.string().max(512)).nullish(),
  integrations: z.array(z.never()).nullish(),
  smoldpo: z.object({ eval_dataset: HeldOutFiles.nullish() }).catchall(OptionValue).nullish()
    .describe(
      "Options of `train` by their own names, such as learning_rate; eval_dataset takes files of /v1/files, also as a list or a map of names",
    ),
}).meta({ id: "FineTuningJobRequest" });
type JobRequest = z.infer<typeof JobRequest>;

export function jobRoutes(trainings: Trainings, runs: RunStore, log: (line: string) => void): Hono {
  const { queue, pool, files } = trainings.settings;

  const understood = async (request: JobRequest): Promise<TrainingRequest> => {
    if (!pool.grows) throw trainsNothing();
    const { eval_dataset: heldOut, ...options } = request.smoldpo ?? {};
    return {
      model: await storedModel(pool, request.model),
      trainingFile: await fileOf(files, request.training_file, "training_file"),
      ...await heldOutOf(files, request.validation_file, heldOut),
      hyperparameters: given(request.method.dpo?.hyperparameters ?? {}),
      seed: request.seed ?? null,
      suffix: request.suffix ?? null,
      metadata: request.metadata ?? null,
      options,
    };
  };

  /** @throws {ApiError} 404 if there is no such job. */
  const jobOf = (context: Context): Job<Training> => {
    const id = context.req.param("id")!;
    const job = trainings.get(id);
    if (job) return job;
    throw new ApiError(404, `Expected a job of /v1/fine_tuning/jobs, found "${id}"`);
  };

  return new Hono()
    .post(
      "/v1/fine_tuning/jobs",
      describeRoute({
        summary: "Train a model by preference",
        description:
          "The files are those of /v1/files. When the job has succeeded, its model is among /v1/models.",
        ...tag,
      }),
      json(JobRequest),
      async (context) => {
        const job = await trainings.create(await understood(context.req.valid("json")));
        return context.json(described(job));
      },
    )
    .post(
      "/v1/fine_tuning/jobs/preview",
      describeRoute({
        summary: "What a job would be",
        description: "The same line on the command line does the same. Nothing is trained.",
        ...tag,
      }),
      json(JobRequest),
      async (context) => {
        const resolved = await trainings.preview(await understood(context.req.valid("json")));
        return context.json({
          object: "fine_tuning.job.preview",
          command: commandLineOf(resolved),
          options: Object.fromEntries(
            Object.entries(resolved.options).map(([name, value]) => [snakeCase(name), value]),
          ),
        });
      },
    )
    .get(
      "/v1/fine_tuning/jobs",
      describeRoute({ summary: "All jobs, the newest first", ...tag }),
      query(PageQuery),
      (context) => {
        const has = metadataFilter(context.req.query());
        const jobs = trainings.jobs.filter(({ task: { request } }) => has(request.metadata ?? {}));
        return context.json(pageOf(jobs.map(described), context.req.valid("query")));
      },
    )
    .get(
      "/v1/fine_tuning/jobs/:id",
      describeRoute({ summary: "One job", ...tag }),
      (context) => context.json(described(jobOf(context))),
    )
    .post(
      "/v1/fine_tuning/jobs/:id/cancel",
      describeRoute({ summary: "End a job after its step", ...tag }),
      async (context) => {
        const job = jobOf(context);
        await queue.cancel(job);
        return context.json(described(job));
      },
    )
    .post(
      "/v1/fine_tuning/jobs/:id/pause",
      describeRoute({ summary: "Put a job aside after its step, with a checkpoint", ...tag }),
      async (context) => {
        const job = jobOf(context);
        await queue.pause(job);
        return context.json(described(job));
      },
    )
    .post(
      "/v1/fine_tuning/jobs/:id/resume",
      describeRoute({ summary: "Resume a paused job", ...tag }),
      (context) => {
        const job = jobOf(context);
        queue.resume(job);
        return context.json(described(job));
      },
    )
    .get(
      "/v1/fine_tuning/jobs/:id/checkpoints",
      describeRoute({
        summary: "What a job kept on its way, the newest first",
        description: "Each is a model by its name. `save_steps` says how many there are.",
        ...tag,
      }),
      query(PageQuery),
      async (context) => {
        const job = jobOf(context);
        const steps = (await runs.checkpoints(job.id)).reverse();
        const checkpoints = steps.map((step) => describedCheckpoint(job, step));
        return context.json(pageOf(checkpoints, context.req.valid("query")));
      },
    )
    .get(
      "/v1/fine_tuning/jobs/:id/events",
      describeRoute({
        summary: "What a job tells, the newest first",
        description:
          "With Accept: text/event-stream all events in order, and those to come until the job has ended; Last-Event-ID says which one came last.",
        ...tag,
      }),
      query(PageQuery),
      (context) => {
        const job = jobOf(context);
        const event = (each: JobEvent) => describedEvent(job, each);
        if (!context.req.header("accept")?.includes("text/event-stream")) {
          const events = job.events.toReversed().map(event);
          return context.json(pageOf(events, context.req.valid("query")));
        }
        const last = context.req.header("last-event-id");
        const after = last === undefined ? -1 : numberOf(job, last);
        return eventStream(context, async (emit, signal) => {
          for await (const each of queue.follow(job, after, signal)) {
            emit(event(each), idOf(job, each));
          }
          // Who follows a job asks again, and is told the rest by the next server.
          if (isUnderWay(job) && !signal.aborted) throw outOfService("The server is closing");
        }, { onEnd: () => {}, log });
      },
    );
}

/** OpenAI's way to ask for jobs by what was written beside them: `metadata[key]=value`. */
function metadataFilter(query: Record<string, string>) {
  const wanted = Object.entries(query).flatMap(([name, value]) => {
    const key = /^metadata\[(.+)\]$/.exec(name)?.[1];
    return key === undefined ? [] : [[key, value]];
  });
  return (metadata: Readonly<Record<string, string>>) =>
    wanted.every(([key, value]) => metadata[key] === value);
}

const trainsNothing = () =>
  new ApiError(404, "This server trains nothing: it was started with --max-trained-models 0");

/**
 * A model to work with that need not be loaded.
 *
 * @throws {ApiError} 404 if there is none of that name.
 */
export async function storedModel(
  pool: ModelPool,
  name: string,
  param?: string,
): Promise<NamedModel> {
  const path = await pool.pathOf(name);
  return path === null ? noModel(pool, name, param) : { name, path };
}

/** @throws {ApiError} If there is no such file, or two of a list are called alike. */
async function heldOutOf(
  files: TrainingFiles,
  validation: string | null | undefined,
  given: z.infer<typeof HeldOutFiles> | null | undefined,
): Promise<Pick<TrainingRequest, "validationFile" | "heldOutFiles">> {
  const refuse = (message: string): never => {
    throw new ApiError(400, message, { param: EVAL_DATASET });
  };
  if (given == null) {
    return {
      validationFile: validation ? await fileOf(files, validation, "validation_file") : null,
    };
  }
  if (validation) refuse('Expected one of "validation_file" and "eval_dataset", found both');
  const file = (id: string) => fileOf(files, id, EVAL_DATASET);
  if (typeof given === "string") return { validationFile: await file(given) };
  const heldOutFiles = new Map<string, TrainingFile>();
  for (const [key, id] of Object.entries(given)) {
    const found = await file(id);
    const name = Array.isArray(given) ? stemOf(found.filename).replaceAll(/[^\w.-]/g, "_") : key;
    if (heldOutFiles.has(name)) {
      refuse(`Expected held-out sets with names of their own, found two of "${name}": give a map`);
    }
    heldOutFiles.set(name, found);
  }
  return { validationFile: null, heldOutFiles: Object.fromEntries(heldOutFiles) };
}

const EVAL_DATASET = "smoldpo.eval_dataset";

/** Those that are not left to us. */
function given(fields: { [N in keyof Hyperparameters]: Hyperparameters[N] | "auto" | null }) {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => typeof value === "number"),
  ) as Hyperparameters;
}

function described(job: Job<Training>) {
  const { name, request, resolved, trainedTokens } = job.task;
  const { options } = resolved;
  const hyperparameters = {
    beta: options.beta,
    batch_size: options.perDeviceTrainBatchSize,
    n_epochs: options.numTrainEpochs,
    learning_rate_multiplier: request.hyperparameters.learning_rate_multiplier ?? 1,
  };
  const succeeded = job.status === "succeeded";
  return {
    id: job.id,
    object: "fine_tuning.job",
    created_at: job.createdAt,
    finished_at: job.finishedAt,
    error: errorOf(job),
    fine_tuned_model: succeeded ? name : null,
    hyperparameters,
    method: { type: "dpo", dpo: { hyperparameters } },
    model: request.model.name,
    user_provided_suffix: request.suffix,
    organization_id: "smoldpo",
    result_files: [],
    status: job.status,
    trained_tokens: isUnderWay(job) ? null : trainedTokens,
    training_file: request.trainingFile.id,
    validation_file: request.validationFile?.id ?? null,
    seed: options.seed,
    estimated_finish: null,
    integrations: [],
    metadata: request.metadata,
    smoldpo: {
      ...request.options,
      ...request.heldOutFiles && { eval_dataset: idsOf(request.heldOutFiles) },
      command: commandLineOf(resolved),
      run: job.id,
      training_filename: request.trainingFile.filename,
      total_steps: job.totalSteps,
      learning_rate: options.learningRate,
      output: options.output,
    },
  };
}

const idsOf = (sets: Readonly<Record<string, TrainingFile>>) =>
  Object.fromEntries(Object.entries(sets).map(([name, { id }]) => [name, id]));

/** Why a job failed, or null. */
export function errorOf({ error }: Pick<Job, "error">) {
  return error === null ? null : { code: "job_failed", message: error, param: null };
}

function describedCheckpoint(job: Job, step: number) {
  const line = job.events.find(({ metrics }) => metrics?.step === step && "loss" in metrics);
  const { loss, ...rest } = line?.metrics ?? {};
  return {
    id: `${job.id.replace("job", "ckpt")}-${step}`,
    object: "fine_tuning.job.checkpoint",
    created_at: line?.createdAt ?? job.createdAt,
    fine_tuned_model_checkpoint: modelName(job.id, step),
    step_number: step,
    fine_tuning_job_id: job.id,
    metrics: { ...rest, step, ...loss === undefined ? {} : { train_loss: loss } },
  };
}

function describedEvent(job: Job, event: JobEvent) {
  const { createdAt, level, message, metrics } = event;
  return {
    id: idOf(job, event),
    object: "fine_tuning.job.event",
    created_at: createdAt,
    level,
    message,
    type: metrics ? "metrics" : "message",
    data: metrics ?? {},
  };
}

const idOf = ({ id }: Job, { number }: Pick<JobEvent, "number">) =>
  `${id.replace("job", "event")}-${number}`;

/** @throws {ApiError} 400 if it is no id of this job's events. */
function numberOf(job: Job, eventId: string): number {
  const number = /-(\d{1,15})$/.exec(eventId)?.[1];
  if (number !== undefined && idOf(job, { number: Number(number) }) === eventId) {
    return Number(number);
  }
  throw new ApiError(400, `Expected the id of an event as Last-Event-ID, found "${eventId}"`);
}
