/** /v1/preferences: pairs of answers that people prefer, kept on the server, as rows that `train --dataset` reads. */
import { Hono } from "hono";
import { describeRoute } from "hono-openapi";
import { exportedRows, type PreferenceStore } from "../src/serve/preferences.ts";
import { ApiError } from "./errors.ts";
import { PreferenceList, PreferenceReplacement, PreferencesToAdd } from "./schemas.ts";
import { json, query } from "./validate.ts";

const ID = ":id{[0-9]{1,15}}";

export function preferenceRoutes(store: PreferenceStore): Hono {
  return new Hono()
    .get(
      "/v1/preferences",
      describeRoute({ summary: "Preferences that are kept, newest first", tags: ["preferences"] }),
      query(PreferenceList),
      (context) => {
        const { limit, before } = context.req.valid("query");
        const found = store.list(limit + 1, before);
        return context.json({
          object: "list",
          data: found.slice(0, limit),
          has_more: found.length > limit,
          total: store.count(),
        });
      },
    )
    .post(
      "/v1/preferences",
      describeRoute({
        summary: "Keep preferences",
        description: "Those that are kept already, with the same texts, are counted and left alone",
        tags: ["preferences"],
      }),
      json(PreferencesToAdd),
      (context) => {
        const { pairs, model } = context.req.valid("json");
        const data = store.add(pairs, model ?? null);
        return context.json(
          { object: "list", data, already_kept: pairs.length - data.length },
          201,
        );
      },
    )
    .get(
      "/v1/preferences/export",
      describeRoute({ summary: "All preferences as a dataset, jsonl", tags: ["preferences"] }),
      (context) => {
        const encoder = new TextEncoder();
        const lines = ReadableStream.from(
          exportedRows(store).map((text) => encoder.encode(text)),
        );
        return context.body(lines, 200, {
          "content-type": "application/jsonl; charset=utf-8",
          "content-disposition": 'attachment; filename="preferences.jsonl"',
        });
      },
    )
    .post(
      "/v1/preferences/undo",
      describeRoute({ summary: "Take the last change back", tags: ["preferences"] }),
      (context) => {
        const undone = store.undo();
        if (!undone) throw new ApiError(409, "There is no change left to take back");
        return context.json({ object: "undone", ...undone });
      },
    )
    .put(
      `/v1/preferences/${ID}`,
      describeRoute({ summary: "Replace a preference", tags: ["preferences"] }),
      json(PreferenceReplacement),
      (context) => {
        const id = context.req.param("id");
        const replaced = store.replace(Number(id), context.req.valid("json"));
        return context.json(replaced ?? missing(id));
      },
    )
    .delete(
      `/v1/preferences/${ID}`,
      describeRoute({ summary: "Remove a preference", tags: ["preferences"] }),
      (context) => {
        const id = context.req.param("id");
        if (!store.remove(Number(id))) missing(id);
        return context.json({ object: "preference.deleted", id: Number(id), deleted: true });
      },
    );
}

function missing(id: string): never {
  throw new ApiError(404, `Expected the id of a preference, found ${id}`);
}
