/** /v1/evaluations: how a model does on preference pairs, as jobs; every option of `eval` in a field `smoldpo`. */
import { Hono } from "hono";
import { describeRoute } from "hono-openapi";
import { z } from "zod";
import type { Evaluation, Evaluations } from "../src/serve/evaluations.ts";
import type { Job } from "../src/serve/job_queue.ts";
import type { ModelPool } from "../src/serve/model_pool.ts";
import { fileOf } from "./files.ts";
import { ApiError } from "./errors.ts";
import { errorOf, GivenOptions, storedModel } from "./jobs.ts";
import { pageOf, PageQuery } from "./pagination.ts";
import { json, query } from "./validate.ts";

const tag = { tags: ["evaluations"] };

const EvaluationRequest = z.strictObject({
  model: z.string().max(512),
  reference: z.string().max(512).nullish(),
  file: z.string().max(512).describe("One of /v1/files"),
  smoldpo: GivenOptions.describe("Options of `eval` by their own names, such as beta"),
}).meta({ id: "EvaluationRequest" });

export function evaluationRoutes(evaluations: Evaluations, pool: ModelPool): Hono {
  const { files, queue } = evaluations.settings;
  const jobOf = (id: string) => {
    const job = evaluations.get(id);
    if (job) return job;
    throw new ApiError(404, `Expected an evaluation of /v1/evaluations, found "${id}"`);
  };
  return new Hono()
    .post(
      "/v1/evaluations",
      describeRoute({
        summary: "Evaluate a model on preference pairs",
        description: "Any model of /v1/models or run of /v1/runs, loaded or not.",
        ...tag,
      }),
      json(EvaluationRequest),
      async (context) => {
        const { model, reference, file, smoldpo } = context.req.valid("json");
        const job = await evaluations.create({
          model: await storedModel(pool, model),
          reference: reference ? await storedModel(pool, reference, "reference") : null,
          file: await fileOf(files, file, "file"),
          options: smoldpo ?? {},
        });
        return context.json(described(job));
      },
    )
    .get(
      "/v1/evaluations",
      describeRoute({ summary: "All evaluations, the newest first", ...tag }),
      query(PageQuery),
      (context) =>
        context.json(pageOf(evaluations.jobs.map(described), context.req.valid("query"))),
    )
    .get(
      "/v1/evaluations/:id",
      describeRoute({ summary: "One evaluation", ...tag }),
      (context) => context.json(described(jobOf(context.req.param("id")))),
    )
    .post(
      "/v1/evaluations/:id/cancel",
      describeRoute({ summary: "End an evaluation without its results", ...tag }),
      async (context) => {
        const job = jobOf(context.req.param("id"));
        await queue.cancel(job);
        return context.json(described(job));
      },
    );
}

function described(job: Job<Evaluation>) {
  const { id, status, createdAt, finishedAt, task: { request, results } } = job;
  return {
    id,
    object: "evaluation",
    status,
    created_at: createdAt,
    finished_at: finishedAt,
    model: request.model.name,
    reference: request.reference?.name ?? null,
    file: request.file.id,
    results,
    error: errorOf(job),
  };
}
