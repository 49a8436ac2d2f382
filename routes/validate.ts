import { validator } from "hono-openapi"; // checks a request with the schema that openapi.json shows
import { z } from "zod";
import { ApiError } from "./errors.ts";

/** Parses a JSON body; what is wrong with it becomes a 400 that names the field. */
export const json = <T extends z.ZodType>(schema: T) =>
  checked("json", z.preprocess(withoutNulls, schema));

/** Parses what follows the question mark, alike. */
export const query = <T extends z.ZodType>(schema: T) => checked("query", schema);

/** Parses a form with files, alike. */
export const form = <T extends z.ZodType>(schema: T) => checked("form", schema);

/** What a client leaves open: null is absent, for names that no schema knows too. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== null);
  return Object.fromEntries(fields.map(([name, field]) => [name, withoutNulls(field)]));
}

/** The deepest thing that is wrong in the alternative that comes closest: that of a union is "Invalid input". */
function innermost(issue: Issue): { path: PropertyKey[]; message: string } {
  const path = [...issue.path ?? []].map((part) => typeof part === "object" ? part.key : part);
  if (issue.code !== "invalid_union") return { path, message: issue.message };
  // The one that the value is of, and in that the one that goes deepest.
  const depth = ({ path, code }: Issue) =>
    2 * (path ?? []).length + (code === "invalid_type" ? 0 : 1);
  const firsts = (issue.errors ?? []).flatMap(([first]) => first ? [first] : []);
  if (firsts.length === 0) return { path, message: issue.message };
  const closest = innermost(firsts.reduce((a, b) => depth(b) > depth(a) ? b : a));
  return { ...closest, path: [...path, ...closest.path] };
}

interface Issue {
  code?: string;
  message: string;
  path?: readonly (PropertyKey | { key: PropertyKey })[];
  /** Of a union: what each alternative says. */
  errors?: readonly (readonly Issue[])[];
}

function checked<T extends z.ZodType, Target extends "json" | "query" | "form">(
  target: Target,
  schema: T,
) {
  return validator(target, schema, (result) => {
    if (result.success) return;
    const issue = innermost(result.error[0] as Issue);
    const path = issue.path.map(String).join(".");
    throw new ApiError(400, path ? `${path}: ${issue.message}` : issue.message, {
      param: path || undefined,
    });
  });
}
