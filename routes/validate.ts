import { validator } from "hono-openapi"; // checks a request with the schema that openapi.json shows
import type { z } from "zod";
import { ApiError } from "./errors.ts";

/** Parses a JSON body; what is wrong with it becomes a 400 that names the field. */
export const json = <T extends z.ZodType>(schema: T) => checked("json", schema);

/** Parses what follows the question mark, alike. */
export const query = <T extends z.ZodType>(schema: T) => checked("query", schema);

/** Parses a form with files, alike. */
export const form = <T extends z.ZodType>(schema: T) => checked("form", schema);

function checked<T extends z.ZodType, Target extends "json" | "query" | "form">(
  target: Target,
  schema: T,
) {
  return validator(target, schema, (result) => {
    if (result.success) return;
    const [issue] = result.error;
    const path = (issue.path ?? []).map((part) =>
      String(typeof part === "object" ? part.key : part)
    ).join(".");
    throw new ApiError(400, path ? `${path}: ${issue.message}` : issue.message, {
      param: path || undefined,
    });
  });
}
