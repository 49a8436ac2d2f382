/** One shape for every error: OpenAI's `{"error": {"message", "type", "param", "code"}}`. */
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { NonFiniteError, UnavailableError, UserError } from "../src/errors.ts";
import { PoolFull } from "../src/serve/model_pool.ts";

const TYPES: Partial<Record<number, string>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  408: "timeout_error",
  429: "rate_limit_error",
  503: "unavailable_error",
  504: "timeout_error",
};

/** An answer to a request that cannot be served; the message is for the client. */
export class ApiError extends Error {
  constructor(
    readonly status: ContentfulStatusCode,
    message: string,
    readonly details: { param?: string; code?: string; headers?: Record<string, string> } = {},
  ) {
    super(message);
  }
}

/** What of an error a client may see: defects of ours keep their details. */
export function errorBody(error: unknown): { status: ContentfulStatusCode; body: object } {
  const { status, message, details } = asApiError(error);
  const type = TYPES[status] ?? (status < 500 ? "invalid_request_error" : "server_error");
  const { param = null, code = null } = details;
  return { status, body: { error: { message, type, param, code } } };
}

function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof PoolFull) {
    return new ApiError(429, error.message, { code: "too_many_models" });
  }
  if (error instanceof UnavailableError) return outOfService(error.message);
  if (error instanceof NonFiniteError) { // the model's fault
    return new ApiError(500, error.message, { code: "not_finite" });
  }
  if (error instanceof UserError) return new ApiError(400, error.message);
  if (error instanceof HTTPException) {
    return new ApiError(error.status, error.message || "The request cannot be served");
  }
  return new ApiError(500, "The server failed at this request; its log says why");
}

/** No model answers at present. */
export function outOfService(message: string): ApiError {
  return new ApiError(503, message, { code: "unavailable", headers: { "retry-after": "5" } });
}

/** Logs what concerns whoever runs the server: defects of ours, with their details, and models that overflow. */
export function logFailure(error: unknown, log: (line: string) => void): void {
  if (asApiError(error).status !== 500) return;
  const details = error instanceof Error && !(error instanceof UserError) && error.stack;
  log(`error      ${details || (error instanceof Error ? error.message : error)}`);
}

/** For Hono's onError. */
export function errorHandler(log: (line: string) => void) {
  return (error: Error, context: Context): Response => {
    logFailure(error, log);
    const { status, body } = errorBody(error);
    return context.json(body, status, asApiError(error).details.headers);
  };
}
