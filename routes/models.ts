/** /v1/models: who can be asked. */
import { Hono } from "hono";
import { describeRoute } from "hono-openapi";
import type { ModelPool } from "../src/serve/model_pool.ts";
import type { ServedModel } from "../src/serve/serving.ts";
import { modelOf, noModel } from "./api.ts";

const NAME = ":model{.+}"; // names of the hub have a slash in them
const tag = { tags: ["models"] };

export function modelRoutes(pool: ModelPool): Hono {
  return new Hono()
    .get(
      "/v1/models",
      describeRoute({ summary: "All models", ...tag }),
      (context) =>
        context.json({
          object: "list",
          data: pool.models.map((model) => describedModel(pool, model)),
        }),
    )
    .get(
      `/v1/models/${NAME}`,
      describeRoute({
        summary: "One model",
        description: "A run or checkpoint is loaded, as wherever a model is asked for.",
        ...tag,
      }),
      async (context) => {
        const { model } = await modelOf({ pool }, context.req.param("model"));
        return context.json(describedModel(pool, model));
      },
    )
    .delete(
      `/v1/models/${NAME}`,
      describeRoute({
        summary: "Unload a trained model",
        description: "Its memory is free when its answers in work are given; its run stays.",
        ...tag,
      }),
      async (context) => {
        const id = context.req.param("model");
        const model = pool.models.find(({ name }) => name === id) ?? noModel(pool, id);
        await pool.remove(model);
        return context.json({ id, object: "model", deleted: true });
      },
    );
}

export const describedModel = (
  pool: ModelPool,
  { name, root, created, positions }: ServedModel,
) => ({
  id: name,
  object: "model",
  created,
  owned_by: "smoldpo",
  root,
  max_model_len: positions,
  role: pool.roleOf(name),
});
