/** POST /v1/score: log-probabilities of preference pairs or single answers, and what DPO calls their implicit rewards. */
import { Hono } from "hono";
import { describeRoute } from "hono-openapi";
import { OPTIONS } from "../src/config/options.ts";
import { loadAnswers } from "../src/data/answers.ts";
import { type DataOptions, loadPairs, type PreferencePair } from "../src/data/pairs.ts";
import type { DatasetRow } from "../src/data/rows.ts";
import { answerScore, type PairScore, withReward, withRewards } from "../src/dpo/evaluate.ts";
import { countsInWords } from "../src/report/words.ts";
import type { PooledModel } from "../src/serve/model_pool.ts";
import { type Api, inTime, modelOf } from "./api.ts";
import { ApiError } from "./errors.ts";
import { ScoreRequest, templateMessages } from "./schemas.ts";
import { json } from "./validate.ts";

export function scoreRoutes(api: Api): Hono {
  return new Hono().post(
    "/v1/score",
    describeRoute({
      summary: "Score preference pairs, or single answers",
      description:
        "Log-probabilities in nats: of each pair `chosen` and `rejected`, of each answer its `label` and `completion`. With a reference, `rewards` or `reward` besides, which are beta times the difference to its own (Rafailov et al. 2023).",
      tags: ["score"],
    }),
    json(ScoreRequest),
    async (context) => {
      const request = context.req.valid("json");
      const asked = await modelOf(api, request.model);
      const reference = request.reference ? await modelOf(api, request.reference) : null;
      const pairs = await pairsOf(request, asked);
      const leave = api.admission.enter(1);
      try {
        const scoresOf = ({ model }: PooledModel) =>
          inTime(api, api.serving.score(model.name, pairs));
        const scores = await scoresOf(asked);
        const theirs = reference && await scoresOf(reference);
        const beta = request.beta ?? OPTIONS.beta.default;
        const ofPair = (ours: PairScore, i: number) =>
          theirs ? withRewards(ours, theirs[i], beta) : ours;
        const ofAnswer = (score: PairScore, i: number) => {
          const ours = answerScore(score, pairs[i]);
          return theirs ? withReward(ours, answerScore(theirs[i], pairs[i]), beta) : ours;
        };
        // All but the first token of each sequence are predicted.
        const tokens = scores.flatMap(({ chosen, rejected }) =>
          (request.answers ? [chosen] : [chosen, rejected]).map((side) => side.all_tokens + 1)
        );
        return context.json({
          object: "list",
          model: asked.model.name,
          data: request.answers ? scores.map(ofAnswer) : scores.map(ofPair),
          usage: { prompt_tokens: tokens.reduce((sum, count) => sum + count, 0) },
        });
      } finally {
        leave();
      }
    },
  );
}

/** Reads pairs or answers as a dataset's rows are read; they must be whole, for a score of a part would go unnoticed. */
async function pairsOf(
  request: ScoreRequest,
  { model, tokenizer }: PooledModel,
): Promise<PreferencePair[]> {
  const options: DataOptions = {
    maxLengthTokens: model.positions,
    truncation: "drop",
    appendEos: true,
    score: "completion",
    vocabSize: model.vocabSize,
  };
  const { pairs, counts } = request.answers
    ? await loadAnswers(rowsOf("answers", request.answers), tokenizer, options, { together: null })
    : await loadPairs(rowsOf("pairs", request.pairs!), tokenizer, options);
  if (counts.kept === counts.rows) return pairs;
  const unit = request.answers ? "answers" : "pairs";
  throw new ApiError(400, `Expected ${unit} that fit, found ${countsInWords({ ...counts }, unit)}`);
}

/** Entries of a request as rows of a dataset. */
function rowsOf(field: string, entries: readonly Record<string, unknown>[]): DatasetRow[] {
  return entries.map((row, i) => ({
    where: `${field}.${i}`,
    value: Object.fromEntries(
      Object.entries(row).map(([name, value]) => [
        name,
        Array.isArray(value) && typeof value[0] === "object"
          ? templateMessages(value as Parameters<typeof templateMessages>[0])
          : value,
      ]),
    ),
  }));
}
