/** GET /v1/models and /v1/models/{model}: who can be asked. */
import { Hono } from "hono";
import { describeRoute } from "hono-openapi";
import type { ServedModel } from "../src/serve/serving.ts";
import { type Api, modelOf } from "./api.ts";

export function modelRoutes(api: Api): Hono {
  return new Hono()
    .get(
      "/v1/models",
      describeRoute({ summary: "All models", tags: ["models"] }),
      (context) => context.json({ object: "list", data: api.serving.models.map(described) }),
    )
    .get(
      "/v1/models/:model{.+}", // names of the hub have a slash in them
      describeRoute({ summary: "One model", tags: ["models"] }),
      (context) => context.json(described(modelOf(api, context.req.param("model")).model)),
    );
}

const described = ({ name, root, created, positions }: ServedModel) => ({
  id: name,
  object: "model",
  created,
  owned_by: "smoldpo",
  root,
  max_model_len: positions,
});
