/** POST /v1/score: log-probabilities of preference pairs, and what DPO calls their implicit rewards. */
import { Hono } from "hono";
import { describeRoute } from "hono-openapi";
import { OPTIONS } from "../src/config/options.ts";
import type { PreferencePair } from "../src/data/pairs.ts";
import { loadPairs } from "../src/data/pairs.ts";
import { type SequenceScores, withRewards } from "../src/dpo/evaluate.ts";
import type { PooledModel } from "../src/serve/model_pool.ts";
import { type Api, inTime, modelOf } from "./api.ts";
import { ApiError } from "./errors.ts";
import { ScoreRequest, templateMessages } from "./schemas.ts";
import { json } from "./validate.ts";

export function scoreRoutes(api: Api): Hono {
  return new Hono().post(
    "/v1/score",
    describeRoute({
      summary: "Score preference pairs",
      description:
        "Log-probabilities in nats. With a reference, rewards are beta times the difference to its own (Rafailov et al. 2023).",
      tags: ["score"],
    }),
    json(ScoreRequest),
    async (context) => {
      const request = context.req.valid("json");
      const asked = await modelOf(api, request.model);
      const reference = request.reference ? await modelOf(api, request.reference) : null;
      const pairs = await pairsOf(request.pairs, asked);
      const leave = api.admission.enter(1);
      try {
        const scoresOf = ({ model }: PooledModel) =>
          inTime(api, api.serving.score(model.name, pairs));
        const scores = await scoresOf(asked);
        const theirs = reference && await scoresOf(reference);
        const beta = request.beta ?? OPTIONS.beta.default;
        const data = scores.map((score, i) => theirs ? withRewards(score, theirs[i], beta) : score);
        const tokens = (side: SequenceScores) => side.all_tokens + 1;
        return context.json({
          object: "list",
          model: asked.model.name,
          data,
          usage: {
            prompt_tokens: scores.reduce(
              (sum, s) => sum + tokens(s.chosen) + tokens(s.rejected),
              0,
            ),
          },
        });
      } finally {
        leave();
      }
    },
  );
}

/** Reads pairs as a dataset's rows are read; they must be whole, for a score of a part would go unnoticed. */
async function pairsOf(
  rows: ScoreRequest["pairs"],
  { model, tokenizer }: PooledModel,
): Promise<PreferencePair[]> {
  const given = rows.map((row, i) => ({
    where: `pairs.${i}`,
    value: Object.fromEntries(
      Object.entries(row).filter(([, value]) => value != null).map(([name, value]) => [
        name,
        Array.isArray(value) && typeof value[0] === "object"
          ? templateMessages(value as Parameters<typeof templateMessages>[0])
          : value,
      ]),
    ),
  }));
  const { pairs, counts } = await loadPairs(given, tokenizer, {
    maxLengthTokens: model.positions,
    truncation: "drop",
    appendEos: true,
    score: "completion",
    vocabSize: model.vocabSize,
  });
  if (pairs.length < rows.length) {
    const { kept, ...why } = counts;
    throw new ApiError(
      400,
      `Expected pairs that fit, found ${rows.length - kept} that do not: ` +
        JSON.stringify(Object.fromEntries(Object.entries(why).filter(([, count]) => count > 0))),
    );
  }
  return pairs;
}
