/**
 * The HTTP server: OpenAI's API over models on a GPU. No computing here; requests are checked and become typed values, answers
 * become JSON.
 *
 * @module
 */
import { Hono, type HonoRequest } from "hono";
import { cors } from "hono/cors";
import { routePath } from "hono/route";
import { openAPIRouteHandler } from "hono-openapi";
import type { Evaluations } from "../src/serve/evaluations.ts";
import type { RunStore } from "../src/serve/runs.ts";
import type { Trainings } from "../src/serve/trainings.ts";
import { Admission, type Api, Metrics } from "./api.ts";
import { chatRoutes } from "./chat.ts";
import { completionRoutes } from "./completions.ts";
import { ApiError, errorHandler } from "./errors.ts";
import { evaluationRoutes } from "./evaluations.ts";
import { fileRoutes } from "./files.ts";
import { healthRoutes } from "./health.ts";
import { jobRoutes } from "./jobs.ts";
import { modelRoutes } from "./models.ts";
import { pageRoutes } from "./page.ts";
import { preferenceRoutes } from "./preferences.ts";
import { runRoutes } from "./runs.ts";
import { scoreRoutes } from "./score.ts";
import { authenticate, limitBody, onlyOurPages, type SecurityOptions } from "./security.ts";
import { tokenizeRoutes } from "./tokenize.ts";

export interface AppOptions extends SecurityOptions {
  /** Sequences that may wait for a slot; more are refused with 429. */
  maxQueue: number;
  /** Seconds that an answer may take. */
  timeout: number;
  runs: RunStore;
  trainings: Trainings;
  evaluations: Evaluations;
  isReady?: () => boolean;
  /** Gets a line for the server's log. */
  log?: (line: string) => void;
}

/** The app over models; the caller gives it a socket, or calls `request` in a test. */
export function createApp(options: AppOptions): Hono {
  const { maxQueue, timeout, runs, trainings, evaluations, corsOrigin } = options;
  const { pool, files, queue } = trainings.settings;
  const serving = pool.options.host;
  const { isReady = () => true, log = () => {} } = options;
  const slots = serving.slots * serving.models.length;
  const api: Api = {
    serving,
    pool,
    admission: new Admission(slots + maxQueue),
    metrics: new Metrics(),
    timeout,
    isReady,
  };
  const app = new Hono();
  app.onError(errorHandler(log));
  app.notFound((context) => {
    throw noRoute(app, context.req);
  });
  app.use(async (context, next) => {
    await next();
    const { error, req, res } = context;
    if (error instanceof ApiError && error.status < 500) {
      log(`refused    ${res.status} ${req.method} ${req.path}: ${error.message}`);
    }
    const route = context.error instanceof ApiError && context.error.status === 404
      ? "unknown"
      : routePath(context, -1); // not the path: ids would be counted one by one
    api.metrics.requests.inc({ route, status: context.res.status });
  });
  if (corsOrigin !== null) app.use(cors({ origin: corsOrigin }));
  app.use(onlyOurPages(options));
  app.route("/", pageRoutes()); // before the key is asked for
  app.use(authenticate(options), limitBody);
  app.route("/", healthRoutes(api, queue));
  app.route("/", modelRoutes(pool));
  app.route("/", completionRoutes(api, log));
  app.route("/", chatRoutes(api, log));
  app.route("/", scoreRoutes(api));
  app.route("/", tokenizeRoutes(api));
  app.route("/", preferenceRoutes(files.preferences));
  app.route("/", fileRoutes(files));
  app.route("/", jobRoutes(trainings, runs, log));
  app.route("/", runRoutes(runs, pool));
  app.route("/", evaluationRoutes(evaluations, pool));
  app.get(
    "/openapi.json",
    openAPIRouteHandler(app, {
      documentation: {
        openapi: "3.1.0",
        info: { title: "smoldpo", version: "1", description: "OpenAI's API over aligned models" },
      },
    }),
  );
  return app;
}

/** @returns 405 for a path that takes another method; 404 with the path that may be meant for any other. */
function noRoute({ routes }: Hono, { method, path }: HonoRequest): ApiError {
  const methodsOf = (path: string) => {
    const handlers = routes.filter((route) => route.method !== "ALL" && matches(route.path, path));
    return [...new Set(handlers.map(({ method }) => method))];
  };
  const methods = methodsOf(path);
  if (methods.length > 0) {
    const allow = methods.join(", ");
    return new ApiError(405, `Expected ${allow} for ${path}, found ${method}`, {
      headers: { allow },
    });
  }
  const tidy = path.replace(/\/{2,}/g, "/").replace(/(.)\/$/, "$1");
  const meant = [tidy, `/v1${tidy}`].find((each) => methodsOf(each).length > 0);
  const hint = meant === undefined ? "" : `: did you mean ${meant}?`;
  return new ApiError(404, `Expected a route of /openapi.json, found ${path}${hint}`);
}

/** Whether a path is one of a route, whose parameters are ":name" or ":name{pattern}". */
function matches(route: string, path: string): boolean {
  const parts = route.split("/").map((part) => {
    const [isParameter, pattern = "[^/]+"] = /^:\w+(?:\{(.+)\})?$/.exec(part) ?? [];
    return isParameter ? pattern : RegExp.escape(part);
  });
  return new RegExp(`^${parts.join("/")}$`).test(path);
}
