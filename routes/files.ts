/** GET /v1/files: the datasets that jobs may use. They are allowed when the server starts; nothing is uploaded. */
import { Hono } from "hono";
import { describeRoute } from "hono-openapi";
import type { TrainingFile } from "../src/serve/jobs.ts";
import type { Api } from "./api.ts";
import { ApiError } from "./errors.ts";

export function fileRoutes({ jobs, started }: Api): Hono {
  const files = jobs?.settings.files ?? new Map<string, TrainingFile>();
  const described = (id: string, { bytes }: TrainingFile) => ({
    id,
    object: "file",
    bytes,
    created_at: started,
    filename: id,
    purpose: "fine-tune",
    status: "processed",
  });
  return new Hono()
    .get(
      "/v1/files",
      describeRoute({ summary: "Datasets that jobs may use", tags: ["fine-tuning"] }),
      (context) => {
        const data = Array.from(files, ([id, file]) => described(id, file));
        return context.json({ object: "list", data, has_more: false });
      },
    )
    .get(
      "/v1/files/:id",
      describeRoute({ summary: "One dataset", tags: ["fine-tuning"] }),
      (context) => {
        const id = context.req.param("id");
        checkFile(files, id);
        return context.json(described(id, files.get(id)!));
      },
    );
}

/**
 * @param param The field that names the file.
 * @throws {ApiError} If it is not among those that are allowed; of a path nothing is looked at.
 */
export function checkFile(
  files: ReadonlyMap<string, TrainingFile>,
  id: string,
  param?: string,
): void {
  if (files.has(id)) return;
  const names = [...files.keys()].join(", ");
  throw new ApiError(param ? 400 : 404, `Expected one of the files ${names}, found "${id}"`, {
    param,
    code: "file_not_found",
  });
}
