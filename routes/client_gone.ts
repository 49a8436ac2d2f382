import type { Context } from "hono";
import { createMiddleware } from "hono/factory";

const signals = new WeakMap<Context, AbortSignal>();

/**
 * Remembers the request's own signal, before anything puts another request in its place: bodyLimit does for bodies without a
 * length, and Deno 2.9 does not tell the new request's signal when the client leaves.
 */
export const watchClient = createMiddleware(async (context, next) => {
  const gone = new AbortController();
  context.req.raw.signal.addEventListener("abort", () => gone.abort(), { once: true });
  signals.set(context, gone.signal);
  await next();
});

/** Aborted when the client leaves before it has its answer. */
export const clientGone = (context: Context): AbortSignal => signals.get(context)!;
