/** /v1/fine_tuning/jobs: training by preference, as in OpenAI's API; every option of `train` besides, in a field `smoldpo`. */
import { type Context, Hono } from "hono";
import { describeRoute } from "hono-openapi";
import { z } from "zod";
import { isUnderWay, type Job, type JobEvent, type JobQueue } from "../src/serve/jobs.ts";
import type { Hyperparameters } from "../src/serve/job_options.ts";
import { type Api, modelOf } from "./api.ts";
import { ApiError } from "./errors.ts";
import { eventStream } from "./event_stream.ts";
import { checkFile } from "./files.ts";
import { json, query } from "./validate.ts";

const tag = { tags: ["fine-tuning"] };
const auto = (number: z.ZodNumber) => z.union([z.literal("auto"), number]).nullish();

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
  suffix: z.string().regex(/^[\w.-]{1,64}$/, "letters, digits, dots, dashes").nullish(),
  metadata: z.record(z.string().max(64), z.string().max(512)).nullish(),
  integrations: z.array(z.never()).nullish(),
  smoldpo: z.record(z.string().max(64), z.union([z.string().max(512), z.number(), z.boolean()]))
    .nullish().describe("Options of `train` by their own names, such as learning_rate"),
}).meta({ id: "FineTuningJobRequest" });

const Page = z.object({
  after: z.string().max(64).optional(),
  limit: z.coerce.number().int().min(1).max(100).default(20),
});

export function jobRoutes(api: Api, log: (line: string) => void): Hono {
  const { jobs } = api;
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
      (context) => {
        const request = context.req.valid("json");
        const queue = trainingOf(jobs);
        const { model } = modelOf(api, request.model);
        const { files, most } = queue.settings;
        checkFile(files, request.training_file, "training_file");
        const validationFile = request.validation_file ?? null;
        if (validationFile !== null) checkFile(files, validationFile, "validation_file");
        if (queue.isFull) {
          throw new ApiError(429, `Expected at most ${most} trained models, served or under way`, {
            code: "too_many_models",
          });
        }
        const job = queue.create({
          model: model.name,
          trainingFile: request.training_file,
          validationFile,
          hyperparameters: given(request.method.dpo?.hyperparameters ?? {}),
          seed: request.seed ?? null,
          suffix: request.suffix ?? null,
          metadata: request.metadata ?? null,
          options: request.smoldpo ?? {},
        }, model.root);
        return context.json(described(job));
      },
    )
    .get(
      "/v1/fine_tuning/jobs",
      describeRoute({ summary: "All jobs, the newest first", ...tag }),
      query(Page),
      (context) => context.json(page(jobs?.jobs ?? [], context.req.valid("query"), described)),
    )
    .get(
      "/v1/fine_tuning/jobs/:id",
      describeRoute({ summary: "One job", ...tag }),
      (context) => context.json(described(jobOf(jobs, context))),
    )
    .post(
      "/v1/fine_tuning/jobs/:id/cancel",
      describeRoute({ summary: "End a job after its step", ...tag }),
      async (context) => {
        const job = jobOf(jobs, context);
        await trainingOf(jobs).cancel(job);
        return context.json(described(job));
      },
    )
    .post(
      "/v1/fine_tuning/jobs/:id/pause",
      describeRoute({ summary: "Put a job aside after its step, with a checkpoint", ...tag }),
      async (context) => {
        const job = jobOf(jobs, context);
        await trainingOf(jobs).pause(job);
        return context.json(described(job));
      },
    )
    .post(
      "/v1/fine_tuning/jobs/:id/resume",
      describeRoute({ summary: "Go on with a paused job", ...tag }),
      (context) => {
        const job = jobOf(jobs, context);
        trainingOf(jobs).resume(job);
        return context.json(described(job));
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
      query(Page),
      (context) => {
        const job = jobOf(jobs, context);
        const event = (each: JobEvent) => describedEvent(job, each);
        if (!context.req.header("accept")?.includes("text/event-stream")) {
          return context.json(page(job.events.toReversed(), context.req.valid("query"), event));
        }
        const last = context.req.header("last-event-id");
        const after = last === undefined ? -1 : numberOf(job, last);
        return eventStream(context, async (emit, signal) => {
          for await (const each of trainingOf(jobs).follow(job, after, signal)) {
            emit(event(each), idOf(job, each));
          }
        }, { onEnd: () => {}, log });
      },
    );
}

/** @throws {ApiError} 404 if the server trains nothing. */
function trainingOf(jobs: JobQueue | null): JobQueue {
  if (jobs) return jobs;
  throw new ApiError(404, "This server trains nothing: it was started with --max-trained-models 0");
}

/** @throws {ApiError} 404 if there is no such job. */
function jobOf(jobs: JobQueue | null, context: Context): Job {
  const id = context.req.param("id")!;
  const job = trainingOf(jobs).get(id);
  if (job) return job;
  throw new ApiError(404, `Expected a job of /v1/fine_tuning/jobs, found "${id}"`);
}

/** Those that are not left to us. */
function given(fields: { [N in keyof Hyperparameters]: Hyperparameters[N] | "auto" | null }) {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => typeof value === "number"),
  ) as Hyperparameters;
}

/** @throws {ApiError} 400 if the cursor is none of the list's. */
function page<T>(
  items: readonly T[],
  { after, limit }: z.infer<typeof Page>,
  describe: (item: T) => { id: string },
) {
  const all = items.map(describe);
  const at = after === undefined ? -1 : all.findIndex(({ id }) => id === after);
  if (after !== undefined && at < 0) {
    throw new ApiError(400, `Expected an id of this list, found "${after}"`, { param: "after" });
  }
  const data = all.slice(at + 1, at + 1 + limit);
  return {
    object: "list",
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: at + 1 + limit < all.length,
  };
}

function described(job: Job) {
  const { request, resolved: { options } } = job;
  const hyperparameters = {
    beta: options.beta,
    batch_size: options.perDeviceTrainBatchSize,
    n_epochs: options.numTrainEpochs,
    learning_rate_multiplier: request.hyperparameters.learning_rate_multiplier ?? 1,
  };
  const served = job.status === "succeeded";
  return {
    id: job.id,
    object: "fine_tuning.job",
    created_at: job.createdAt,
    finished_at: job.finishedAt,
    error: job.error === null ? null : { code: "job_failed", message: job.error, param: null },
    fine_tuned_model: served ? job.name : null,
    hyperparameters,
    method: { type: "dpo", dpo: { hyperparameters } },
    model: request.model,
    user_provided_suffix: request.suffix,
    organization_id: "smoldpo",
    result_files: [],
    status: job.status,
    trained_tokens: isUnderWay(job) ? null : job.trainedTokens,
    training_file: request.trainingFile,
    validation_file: request.validationFile,
    seed: options.seed,
    estimated_finish: null,
    integrations: [],
    metadata: request.metadata,
    smoldpo: {
      ...request.options,
      learning_rate: options.learningRate,
      output: options.output,
    },
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
