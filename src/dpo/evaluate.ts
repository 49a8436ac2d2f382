// This module is browser compatible.
import { divide } from "../data/divide.ts";
import type { PreferencePair, TokenSequence } from "../data/pairs.ts";
import { Commands } from "../gpu/commands.ts";
import { readTensor } from "../gpu/tensor.ts";
import { PAIR_METRICS, rewardColumn } from "../kernels/dpo_loss.ts";
import type { PairScores } from "../losses/loss.ts";
import { answersOf, type Objective, pairLosses } from "../losses/losses.ts";
import { uploadBatch } from "../model/batch.ts";
import { reserveForward, tokensPerPass, topForward, trunkForward } from "../model/forward.ts";
import { headForward } from "../model/head.ts";
import { type Model, scoreTensor } from "../model/model.ts";
import { expectFinite } from "./finite.ts";
import { AnswerMetrics } from "./answer_metrics.ts";
import { byLength, intervals, PairMetrics } from "./metrics.ts";
import {
  meanChosenTokens,
  packPairs,
  scoredTokens,
  type ScoreOptions,
  treeTokens,
} from "./pack.ts";
import { NUMBERS_PER_PAIR, type Reference } from "./reference.ts";

/** Consecutive pairs that a model scores together, up to a number of tokens. */
function batchesOf(model: Model, pairs: readonly PreferencePair[]): PreferencePair[][] {
  return divide(pairs, treeTokens, { rows: Infinity, tokens: tokensPerPass(model) });
}

const tokensOf = (pairs: readonly PreferencePair[]) =>
  pairs.reduce((sum, pair) => sum + treeTokens(pair), 0);

/** The pairs that take the most memory of those that are scored together. */
export function largestBatch(model: Model, pairs: readonly PreferencePair[]): PreferencePair[] {
  return batchesOf(model, pairs)
    .reduce((most, batch) => tokensOf(batch) > tokensOf(most) ? batch : most, []);
}

/**
 * Scores of pairs under the policy and, where given, the reference.
 *
 * @returns For each batch its pairs and the policy's sums, f32 (2P, 4) as sequence_score writes them.
 * @throws {UserError} If a sum is not finite; the message names the row.
 */
async function* scoreBatches(
  model: Model,
  pairs: readonly PreferencePair[],
  score: ScoreOptions,
  reference: Reference | null,
) {
  const { gpu, runtime, weights, begin } = model;
  reserveForward(model, tokensOf(largestBatch(model, pairs)));
  for (const batchPairs of batchesOf(model, pairs)) {
    const packed = packPairs(batchPairs, { ...score, chunkRows: runtime.headRows });
    const batch = uploadBatch(gpu, runtime.workspace, packed);
    const scores = scoreTensor(model, "policy scores", 2 * batchPairs.length);
    const commands = new Commands(gpu);
    const trunk = trunkForward(commands, runtime, weights, batch, begin);
    if (reference && !reference.knows(batchPairs)) {
      const theirs = scoreTensor(model, "reference scores", 2 * batchPairs.length);
      reference.compute(commands, batch, theirs, trunk);
      commands.submit();
      reference.remember(batchPairs, await readTensor(gpu, theirs));
    }
    const { y } = topForward(commands, runtime, weights, batch, trunk, begin, false);
    headForward(commands, runtime, weights, batch, scores, y);
    commands.submit();
    const sums = await readTensor(gpu, scores);
    expectFinite("the model", weights.precision, batchPairs, sums);
    yield { pairs: batchPairs, scores: sums };
  }
}

/**
 * Computes the reference's scores of pairs, which it remembers.
 *
 * @throws The signal's reason, between two batches.
 * @throws {UserError} If a score is not finite; the message names the row.
 */
export async function scoreReference(
  policy: Model,
  reference: Reference,
  pairs: readonly PreferencePair[],
  score: ScoreOptions & { signal?: AbortSignal },
): Promise<void> {
  const { gpu, runtime, weights, begin } = policy;
  reserveForward(policy, tokensOf(largestBatch(policy, pairs)));
  for (const batchPairs of batchesOf(policy, pairs)) {
    score.signal?.throwIfAborted();
    const packed = packPairs(batchPairs, { ...score, chunkRows: runtime.headRows });
    const batch = uploadBatch(gpu, runtime.workspace, packed);
    const scores = scoreTensor(policy, "reference scores", 2 * batchPairs.length);
    const commands = new Commands(gpu);
    const trunk = trunkForward(commands, runtime, weights, batch, begin);
    reference.compute(commands, batch, scores, trunk);
    commands.submit();
    reference.remember(batchPairs, await readTensor(gpu, scores));
  }
}

/** What {@link scoreBatches} yields of a policy that is the reference: each pair is computed once, to the same bits. */
async function* scoresOfReference(
  model: Model,
  reference: Reference,
  pairs: readonly PreferencePair[],
  score: ScoreOptions & { signal?: AbortSignal },
) {
  await scoreReference(model, reference, pairs.filter((pair) => !reference.knows([pair])), score);
  for (const pair of pairs) yield { pairs: [pair], scores: reference.of(pair) };
}

/** Those of a reference where there is none. */
const NO_SCORES = new Float32Array(NUMBERS_PER_PAIR);

/** How to evaluate. */
export interface EvaluationOptions extends ScoreOptions {
  objective: Objective;
  /** Whether model and reference have the same weights, as before the first step. */
  isReference?: boolean;
  signal?: AbortSignal;
}

/**
 * TRL's metrics against the reference, with `eval_` in front; beside them the accuracy of the policy's likelihood alone, that of
 * taking the longer answer, that of the rewards where the chosen answer is longer and where it is shorter, and half the width of
 * 95 % intervals (`_ci95`) over pairs.
 *
 * @param reference null: the losses do without one.
 * @throws The signal's reason, between two batches.
 * @throws {UserError} If a log-probability is not finite; the message names the row.
 */
export async function evaluate(
  model: Model,
  reference: Reference | null,
  pairs: readonly PreferencePair[],
  options: EvaluationOptions,
): Promise<Record<string, number>> {
  const scored: ScoredPair[] = [];
  const { useWeighting: confidence } = options.objective;
  // The reference's scores say nothing of confidence.
  const batches = options.isReference && reference && !confidence
    ? scoresOfReference(model, reference, pairs, options)
    : scoreBatches(model, pairs, { ...options, confidence }, reference);
  for await (const batch of batches) {
    options.signal?.throwIfAborted();
    for (const [i, pair] of batch.pairs.entries()) {
      const begin = i * NUMBERS_PER_PAIR;
      const ours = batch.scores.subarray(begin, begin + NUMBERS_PER_PAIR);
      scored.push({ pair, ours, theirs: reference?.of(pair) ?? NO_SCORES });
    }
  }
  return measuresOf(scored, options);
}

/** What {@link evaluate} measures of pairs if all scores are 0: its names are those of every evaluation of the pairs. */
export function blankMeasures(
  pairs: readonly PreferencePair[],
  options: EvaluationOptions,
): Record<string, number> {
  return measuresOf(pairs.map((pair) => ({ pair, ours: NO_SCORES, theirs: NO_SCORES })), options);
}

/** A pair, and its scores under the policy and the reference: 4 numbers each of chosen and rejected. */
interface ScoredPair {
  pair: PreferencePair;
  ours: Float32Array;
  theirs: Float32Array;
}

/** What is measured, under names that depend on the pairs and the objective alone. */
function measuresOf(
  scored: readonly ScoredPair[],
  options: EvaluationOptions,
): Record<string, number> {
  const { beta, useWeighting: confidence } = options.objective;
  const column = rewardColumn(options.objective);
  const pairs = scored.map(({ pair }) => pair);
  const scores = scored.map(({ pair, ours, theirs }): PairScores => {
    const { margin, weight = 1, label } = pair;
    const [chosen, rejected] = [ours[0], ours[4]];
    const [referenceChosen, referenceRejected] = [theirs[0], theirs[4]];
    const sureness = confidence ? Math.exp(ours[3] + ours[7]) : 1;
    return {
      ...{ chosen, rejected, referenceChosen, referenceRejected, margin, label },
      weight: weight * sureness,
    };
  });
  const rows = scored.map(({ ours, theirs }) => {
    const [chosen, rejected] = [0, 4].map((side) => ours[side + column] - theirs[side + column]);
    return {
      reward_chosen: beta * chosen,
      reward_rejected: beta * rejected,
      logp_chosen: ours[1],
      logp_rejected: ours[5],
      delta: chosen - rejected,
      score_chosen: ours[0],
      score_rejected: ours[4],
    };
  });
  const likelier = scores.filter(({ chosen, rejected }) => chosen > rejected).length;
  const losses = pairLosses(options.objective, scores, meanChosenTokens(pairs, options));
  const measured = rows.map((row, i) => ({ ...row, loss: losses[i].value }));
  const numbers = measured.flatMap((row) => PAIR_METRICS.map((name) => row[name]));
  const answers = answersOf(options.objective);
  const metrics = answers ? new AnswerMetrics(beta, answers === "mismatched") : new PairMetrics();
  metrics.add(numbers, pairs);
  const summary = metrics instanceof AnswerMetrics
    ? { ...metrics.heldOut(), ...metrics.intervals(measured.map(({ loss }) => loss)) }
    : {
      ...metrics.summary(0.5),
      ...intervals(measured),
      ...byLength(pairs, rows),
      "likelihood/accuracies": likelier / pairs.length,
    };
  return Object.fromEntries(
    Object.entries(summary).map(([name, value]) => [`eval_${name}`, value]),
  );
}

/** Log-probabilities of one sequence, in nats. */
export interface SequenceScores {
  /** Over the completion's tokens. */
  sum: number;
  mean: number;
  tokens: number;
  /** Over prompt and completion without the first token, which nothing predicts. */
  all_sum: number;
  all_mean: number;
  all_tokens: number;
}

export interface PairScore {
  index: number;
  chosen: SequenceScores;
  rejected: SequenceScores;
  /** What DPO calls implicit rewards; there with a reference. */
  rewards?: { chosen: number; rejected: number; margin: number };
}

export interface AnswerScore {
  index: number;
  label: boolean;
  completion: SequenceScores;
  /** Its implicit reward; there with a reference. */
  reward?: number;
}

/**
 * The log-probabilities of pairs under a model, in order.
 *
 * @throws {UserError} If one is not finite; the message names the row.
 */
export async function* scorePairs(
  model: Model,
  pairs: readonly PreferencePair[],
): AsyncGenerator<PairScore> {
  for await (const batch of scoreBatches(model, pairs, WHOLE, null)) {
    for (const [i, { index, chosen, rejected }] of batch.pairs.entries()) {
      yield {
        index,
        chosen: sequenceScores(chosen, batch.scores, 2 * i),
        rejected: sequenceScores(rejected, batch.scores, 2 * i + 1),
      };
    }
  }
}

/**
 * The same of single answers.
 *
 * @throws {UserError} If one is not finite; the message names the row.
 */
export async function* scoreAnswers(
  model: Model,
  answers: readonly PreferencePair[],
): AsyncGenerator<AnswerScore> {
  let i = 0;
  for await (const score of scorePairs(model, answers)) yield answerScore(score, answers[i++]);
}

/** The scores of a single answer out of those of the pair that it is computed as. */
export function answerScore(
  { index, chosen }: PairScore,
  { label = true }: PreferencePair,
): AnswerScore {
  return { index, label, completion: chosen };
}

const WHOLE = { scope: "all", reduction: "sum" } as const;

/** @param scores f32 (2P, 4) as sequence_score writes them. @param row That of the sequence. */
function sequenceScores(
  sequence: TokenSequence,
  scores: Float32Array,
  row: number,
): SequenceScores {
  const tokens = scoredTokens(sequence, "completion");
  const allTokens = scoredTokens(sequence, "all");
  const [sum, allSum] = [scores[4 * row + 1], scores[4 * row + 2]];
  return {
    sum,
    mean: tokens > 0 ? sum / tokens : 0,
    tokens,
    all_sum: allSum,
    all_mean: allTokens > 0 ? allSum / allTokens : 0,
    all_tokens: allTokens,
  };
}

/** The implicit reward of an answer: beta times what its log-probability gained over the reference's (Rafailov et al. 2023). */
function rewardOf(ours: SequenceScores, theirs: SequenceScores, beta: number): number {
  return beta * (ours.sum - theirs.sum);
}

/** Adds the rewards of a pair. */
export function withRewards(ours: PairScore, theirs: PairScore, beta: number): PairScore {
  const chosen = rewardOf(ours.chosen, theirs.chosen, beta);
  const rejected = rewardOf(ours.rejected, theirs.rejected, beta);
  return { ...ours, rewards: { chosen, rejected, margin: chosen - rejected } };
}

/** Adds the reward of a single answer. */
export function withReward(ours: AnswerScore, theirs: AnswerScore, beta: number): AnswerScore {
  return { ...ours, reward: rewardOf(ours.completion, theirs.completion, beta) };
}
