/** GET /health, /ready and /metrics: for whoever watches the server. */
import { Hono } from "hono";
import { describeRoute } from "hono-openapi";
import type { JobQueue } from "../src/serve/job_queue.ts";
import type { Api } from "./api.ts";

export function healthRoutes(api: Api, queue: JobQueue): Hono {
  return new Hono()
    .get(
      "/health",
      describeRoute({ summary: "Whether the server takes requests", tags: ["health"] }),
      (context) =>
        api.isReady() ? context.json({ status: "ok" }) : context.json({
          error: { message: "Shutting down", type: "unavailable_error", param: null, code: null },
        }, 503),
    )
    .get(
      "/ready",
      describeRoute({ summary: "Whether the GPU answers", tags: ["health"] }),
      async (context) => context.json({ status: "ok", load: await api.serving.load() }),
    )
    .get(
      "/metrics",
      describeRoute({ summary: "Counters in Prometheus' text format", tags: ["health"] }),
      async (context) => context.text(await api.metrics.text(api.serving, queue)),
    );
}
