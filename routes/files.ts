/** /v1/files: the datasets that jobs may use. Some are allowed when the server starts, others are uploaded. */
import { Hono } from "hono";
import { describeRoute } from "hono-openapi";
import { z } from "zod";
import type { TrainingFile, TrainingFiles } from "../src/serve/training_files.ts";
import { ApiError } from "./errors.ts";
import { pageOf, PageQuery } from "./pagination.ts";
import { form, query } from "./validate.ts";

const tag = { tags: ["fine-tuning"] };

/** What files are for. */
const PURPOSE = "fine-tune";

const Upload = z.strictObject({
  file: z.instanceof(File).meta({ type: "string", format: "binary" }),
  purpose: z.literal(PURPOSE),
});

const FileQuery = PageQuery.extend({
  purpose: z.string().max(64).optional(),
  /** By the time that they came; without it first those that the server was started with. */
  order: z.enum(["asc", "desc"]).optional(),
});

export function fileRoutes(files: TrainingFiles): Hono {
  return new Hono()
    .get(
      "/v1/files",
      describeRoute({ summary: "Datasets that jobs may use", ...tag }),
      query(FileQuery),
      async (context) => {
        const { purpose = PURPOSE, order, ...page } = context.req.valid("query");
        const all = (await files.list()).map(described).filter((file) => file.purpose === purpose);
        if (order) all.sort((a, b) => (a.created_at - b.created_at) * (order === "asc" ? 1 : -1));
        return context.json(pageOf(all, page));
      },
    )
    .post(
      "/v1/files",
      describeRoute({
        summary: "Keep a dataset of preference pairs",
        description: "The same content is kept once. All rows are read; a bad one is refused.",
        ...tag,
      }),
      form(Upload),
      async (context) => {
        const { file } = context.req.valid("form");
        return context.json(described(await files.uploads.add(file.name, file.stream())));
      },
    )
    .get(
      "/v1/files/:id",
      describeRoute({ summary: "One dataset", ...tag }),
      async (context) => context.json(described(await fileOf(files, context.req.param("id")))),
    )
    .delete(
      "/v1/files/:id",
      describeRoute({ summary: "Remove an uploaded dataset", ...tag }),
      async (context) => {
        const { id, source } = await fileOf(files, context.req.param("id"));
        if (source !== "upload") {
          throw new ApiError(400, `Expected an upload, found "${id}", which the server has itself`);
        }
        const deleted = await files.uploads.remove(id);
        return context.json({ id, object: "file", deleted });
      },
    );
}

/**
 * @param param The field that names the file, if it is not the path.
 * @throws {ApiError} If there is none of that id; a path is never looked at.
 */
export async function fileOf(
  files: TrainingFiles,
  id: string,
  param?: string,
): Promise<TrainingFile> {
  const file = await files.get(id);
  if (file) return file;
  const named = (await files.list()).filter(({ source }) => source !== "upload");
  const names = named.map(({ id }) => id).join(", ");
  const message = `Expected one of ${names} or an upload of /v1/files, found "${id}"`;
  throw new ApiError(param ? 400 : 404, message, {
    param,
    code: "file_not_found",
  });
}

const described = ({ id, bytes, createdAt, filename, rows, source }: TrainingFile) => ({
  id,
  object: "file",
  bytes,
  created_at: createdAt,
  filename,
  purpose: PURPOSE,
  status: "processed",
  smoldpo: { rows, source },
});
