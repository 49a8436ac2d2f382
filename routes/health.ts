/** GET /health, /ready and /metrics: for whoever watches the server. */
import { Hono } from "hono";
import { describeRoute } from "hono-openapi";
import type { JobQueue } from "../src/serve/job_queue.ts";
import { type Api, inTime } from "./api.ts";
import { ApiError, outOfService } from "./errors.ts";

export function healthRoutes(api: Api, queue: JobQueue): Hono {
  return new Hono()
    .get(
      "/health",
      describeRoute({ summary: "Whether the server takes requests", tags: ["health"] }),
      (context) => {
        expectService(api);
        return context.json({ status: "ok" });
      },
    )
    .get(
      "/ready",
      describeRoute({ summary: "Whether the GPU answers", tags: ["health"] }),
      async (context) => {
        expectService(api);
        return context.json({ status: "ok", load: await inTime(api, api.serving.load()) });
      },
    )
    .get(
      "/metrics",
      describeRoute({ summary: "Counters in Prometheus' text format", tags: ["health"] }),
      async (context) => {
        const load = await inTime(api, api.serving.load());
        return context.text(await api.metrics.text(api.serving, load, queue));
      },
    );
}

/** @throws {ApiError} 503 while the server shuts down, or no model answers. */
function expectService({ isReady, serving }: Api): void {
  if (!isReady()) throw new ApiError(503, "Shutting down");
  if (serving.outage !== null) throw outOfService(serving.outage);
}
