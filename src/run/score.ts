// This module is browser compatible.
import type { Resolved } from "../config/resolve.ts";
import type { PreferencePair } from "../data/pairs.ts";
import { scoreAnswers, scorePairs, withReward, withRewards } from "../dpo/evaluate.ts";
import { loadModel, loadReference } from "../model/load.ts";
import type { Model } from "../model/model.ts";
import { openCaches } from "./caches.ts";
import type { Emit } from "./events.ts";
import { dataOptions, loadPairsFrom, mainDataset, openModel, readAsFirstRow } from "./inputs.ts";
import type { Ports } from "./ports.ts";

/**
 * Log-probabilities of every pair or single answer: an event each, in the order of the dataset; with a reference their rewards,
 * too.
 *
 * @throws {UserError} If options, model or data do not fit together.
 */
export async function score(
  { options }: Resolved<"score">,
  ports: Ports,
  emit: Emit,
): Promise<void> {
  using model = await openModel(options.model, ports, emit);
  using reference = options.reference === null
    ? null
    : await openModel(options.reference, ports, emit);
  const named = mainDataset(options, "score");
  const data = await readAsFirstRow(named, dataOptions(options, model, "all"), ports);
  const caches = openCaches(options, "read", ports, emit);
  const { pairs, record } = await loadPairsFrom(named, model, data, caches);
  const { gpu: opened, precision } = await ports.openDevice(options);
  using gpu = opened;
  emit({ type: "loaded", data: record });
  const loading = { precision, positions: options.maxLength };
  const policy = await loadModel(gpu, model, loading);
  const judge = reference && await loadReference(gpu, model, reference, loading);
  const scores = data.answers === undefined
    ? scoresOf(scorePairs, withRewards, policy, judge, pairs, options.beta)
    : scoresOf(scoreAnswers, withReward, policy, judge, pairs, options.beta);
  for await (const score of scores) emit({ type: "scored", score });
}

/** Scores of the policy, with rewards where there is a reference, which scores the same pairs beside it. */
async function* scoresOf<Score>(
  score: (model: Model, pairs: readonly PreferencePair[]) => AsyncGenerator<Score>,
  rewarded: (ours: Score, theirs: Score, beta: number) => Score,
  policy: Model,
  reference: Model | null,
  pairs: readonly PreferencePair[],
  beta: number,
): AsyncGenerator<Score> {
  const theirs = reference && score(reference, pairs);
  for await (const ours of score(policy, pairs)) {
    yield theirs ? rewarded(ours, (await theirs.next()).value, beta) : ours;
  }
}
