/** /v1/runs: trainings that have ended, here or on the command line, with what they did and left. */
import { Hono } from "hono";
import { describeRoute } from "hono-openapi";
import { secureHeaders } from "hono/secure-headers";
import { z } from "zod";
import { commandLineOf } from "../src/serve/command_line.ts";
import { snakeCase } from "../src/config/values.ts";
import type { ModelPool } from "../src/serve/model_pool.ts";
import { modelName, type RunStore, type StoredRun } from "../src/serve/runs.ts";
import { isEvaluation, type MetricsLine } from "../src/report/run_record.ts";
import { modelOf } from "./api.ts";
import { ApiError } from "./errors.ts";
import { describedModel } from "./models.ts";
import { pageOf, PageQuery } from "./pagination.ts";
import { json, query } from "./validate.ts";

const tag = { tags: ["runs"] };

const ServeRequest = z.strictObject({
  step: z.int().min(0).nullish().describe("Of a checkpoint; without it what the run ended with"),
}).meta({ id: "RunServeRequest" });

/** A report is a page of its own: its style and drawings are in it, and it runs nothing. */
const reportHeaders = secureHeaders({
  contentSecurityPolicy: {
    defaultSrc: ["'none'"],
    styleSrc: ["'unsafe-inline'"],
    imgSrc: ["data:"],
    sandbox: [],
    frameAncestors: ["'self'"],
  },
  xFrameOptions: "SAMEORIGIN",
  strictTransportSecurity: false, // for whoever puts TLS in front to say
});

export function runRoutes(runs: RunStore, pool: ModelPool): Hono {
  const runOf = async (id: string) => {
    const run = await runs.get(id);
    if (run) return run;
    throw new ApiError(404, `Expected a run of /v1/runs, found "${id}"`);
  };
  const described = async (run: StoredRun) => {
    const metrics = await runs.metrics(run.id);
    return { ...await summary(run, metrics), metrics };
  };
  const summary = async ({ id, record }: StoredRun, metrics: readonly MetricsLine[]) => {
    const placed = async (step: number | null) => {
      const path = await runs.pathOf(id, step);
      const name = (path && pool.nameAt(path)) ?? modelName(id, step);
      return { model: name, served: pool.isLoaded(name) };
    };
    const steps = await runs.checkpoints(id);
    const { dataset, evalDataset } = record.options;
    return {
      id,
      object: "run",
      command: record.command,
      created_at: Math.floor(Date.parse(record.startedAt) / 1000),
      seconds: record.durationSeconds,
      source: record.source,
      dataset: dataset ?? null,
      eval_dataset: evalDataset ?? null,
      options: Object.fromEntries(
        Object.entries(record.options).map(([name, value]) => [snakeCase(name), value]),
      ),
      command_line: commandLineOf(record),
      steps: metrics.at(-1)?.step ?? null,
      ...await placed(null),
      ...measures(metrics),
      checkpoints: await Promise.all(steps.map(async (step) => ({ step, ...await placed(step) }))),
    };
  };
  return new Hono()
    .get(
      "/v1/runs",
      describeRoute({ summary: "Runs that have ended, the newest first", ...tag }),
      query(PageQuery),
      async (context) => {
        const { data, ...rest } = pageOf(await runs.list(), context.req.valid("query"));
        const shown = data.map(async (run) => await summary(run, await runs.metrics(run.id)));
        return context.json({ ...rest, data: await Promise.all(shown) });
      },
    )
    .get(
      "/v1/runs/:id",
      describeRoute({ summary: "One run, with all lines of its metrics", ...tag }),
      async (context) => context.json(await described(await runOf(context.req.param("id")))),
    )
    .get(
      "/v1/runs/:id/report",
      describeRoute({ summary: "A run's report, HTML", ...tag }),
      reportHeaders,
      async (context) => {
        const { id } = await runOf(context.req.param("id"));
        const report = await runs.report(id);
        if (report === null) throw new ApiError(404, `Expected a run with a report, found "${id}"`);
        return context.html(report);
      },
    )
    .post(
      "/v1/runs/:id/serve",
      describeRoute({
        summary: "Load what a run ended with, or a checkpoint of it",
        description: "It then answers by its name, as it would if a request had asked for it.",
        ...tag,
      }),
      json(ServeRequest),
      async (context) => {
        const { id } = await runOf(context.req.param("id"));
        const step = context.req.valid("json").step ?? null;
        const path = await runs.pathOf(id, step);
        const name = path && pool.nameAt(path) || modelName(id, step);
        return context.json(describedModel(pool, (await modelOf({ pool }, name)).model));
      },
    );
}

/** The first and the last evaluation; of a run without, what the last step measured. */
function measures(metrics: readonly MetricsLine[]) {
  const evaluations = metrics.filter(isEvaluation).map((line) =>
    Object.fromEntries(
      Object.entries(line).filter(([name]) => name.startsWith("eval_"))
        .map(([name, value]) => [name.slice("eval_".length), value]),
    )
  );
  const first = evaluations[0] ?? null;
  return { first, final: evaluations.at(-1) ?? metrics.at(-1) ?? null };
}
