// This module is browser compatible.
/** What answers that a model draws at held-out prompts say of it: how far it is from the reference, and how it writes. */
import type { Completion } from "../generate/batcher.ts";
import { generate } from "../generate/generate.ts";
import { textLogprobs } from "../generate/prompt_logprobs.ts";
import { GREEDY } from "../kernels/sample.ts";
import type { Model } from "../model/model.ts";

/** Prompts that are answered; more would take longer than training a small model. */
const MOST_PROMPTS = 32;
/** Tokens of the pieces whose repetition is counted. */
const PIECE = 4;

export interface DrawingOptions {
  maxNewTokens: number;
  stopIds: readonly number[];
}

/**
 * Lets the policy answer the first 32 prompts at temperature 1, with the same seed each time.
 *
 * - `kl`: its divergence from the reference in nats per token, KL(policy || reference). As in TRL's GRPO it is the mean of
 *   r - 1 - ln r over all drawn tokens, r the reference's probability of a token over the policy's (the estimator k3 of
 *   Schulman 2020): never below 0, and exactly 0 of equal models. `kl_ci95` is half the width of its 95 % interval, missing of
 *   a single answer. Both are missing without a reference.
 * - `completions/mean_length`: tokens, the end token included.
 * - `completions/clipped_ratio`: share of answers that had not ended after `maxNewTokens`: 1 less the end-token rate.
 * - `completions/seq_rep_4`: share of an answer's pieces of 4 tokens that stand in it before (Welleck et al. 2019), in the
 *   mean over answers; missing where all are shorter.
 *
 * @param reference null: there is none; the policy itself where both are equal, which spares the computation.
 * @returns Nothing where there is no prompt.
 */
export async function measureDrawn(
  policy: Model,
  reference: Model | null,
  prompts: readonly (readonly number[])[],
  options: DrawingOptions,
): Promise<Record<string, number>> {
  const asked = prompts.slice(0, MOST_PROMPTS);
  if (asked.length === 0) return {};
  const drawn = await generate(policy, asked, { ...GREEDY, temperature: 1, ...options });
  const gaps = reference && await gapsOf(policy, reference, asked, drawn);
  return measuresOf(drawn, gaps);
}

/**
 * What {@link measureDrawn} measures if every answer is of one piece: its names are all that there can be.
 *
 * @param prompts How many there are.
 */
export function blankDrawn(prompts: number, hasReference: boolean): Record<string, number> {
  const count = Math.min(prompts, MOST_PROMPTS);
  if (count === 0) return {};
  const answer = { ids: new Array<number>(PIECE).fill(0), finishReason: "stop" } as const;
  const gaps = new Array<number>(PIECE).fill(0);
  return measuresOf(
    new Array(count).fill(answer),
    hasReference ? new Array(count).fill(gaps) : null,
  );
}

/** @param gaps As {@link klOf} takes them; null without a reference. */
function measuresOf(drawn: readonly DrawnAnswer[], gaps: readonly (readonly number[])[] | null) {
  return { ...gaps ? klOf(gaps) : {}, ...shapeOf(drawn) };
}

type DrawnAnswer = Pick<Completion, "ids" | "finishReason">;

/** Does what takes memory for answers that do not end, on a device that only counts. */
export async function rehearseDrawn(
  policy: Model,
  reference: Model | null,
  prompts: readonly (readonly number[])[],
  options: DrawingOptions,
): Promise<void> {
  const asked = prompts.slice(0, MOST_PROMPTS);
  if (asked.length === 0) return;
  await generate(policy, asked, { ...GREEDY, temperature: 1, ...options, stopIds: [] });
  const texts = asked.map(({ length }) => new Array(length + options.maxNewTokens).fill(0));
  for (const model of [policy, ...reference ? [reference] : []]) {
    await textLogprobs(model, texts, 0);
  }
}

/** ln of the reference's probability less that of the policy's, of each token of each answer. */
async function gapsOf(
  policy: Model,
  reference: Model,
  prompts: readonly (readonly number[])[],
  drawn: readonly DrawnAnswer[],
): Promise<number[][]> {
  if (reference === policy) return drawn.map(({ ids }) => ids.map(() => 0));
  const texts = drawn.map(({ ids }, i) => [...prompts[i], ...ids]);
  const [ours, theirs] = [await logprobsOf(policy, texts), await logprobsOf(reference, texts)];
  return prompts.map(({ length }, i) =>
    theirs[i].slice(length - 1).map((logprob, at) => logprob - ours[i][length - 1 + at])
  );
}

/** The log-probability of each token but the first, by text. */
async function logprobsOf(model: Model, texts: readonly (readonly number[])[]) {
  const found = await textLogprobs(model, texts, 0);
  return found.map((tokens) => tokens.map(({ logprob }) => logprob));
}

/**
 * The mean of k3 over all tokens, and half the width of its 95 % interval: 1.96 standard errors over answers, as the
 * tokens of one depend on each other. The error is that of a ratio of sums (Cochran 1977, section 2.11), as answers differ in length.
 *
 * @param gaps ln of the reference's probability less that of the policy's, of each token of each answer.
 */
export function klOf(gaps: readonly (readonly number[])[]): { kl: number; kl_ci95?: number } {
  const sums = gaps.map((answer) => answer.reduce((sum, gap) => sum + Math.expm1(gap) - gap, 0));
  const [n, tokens] = [gaps.length, gaps.flat().length];
  const kl = sums.reduce((sum, value) => sum + value, 0) / tokens;
  if (n < 2) return { kl };
  const squares = sums.reduce((sum, value, i) => sum + (value - kl * gaps[i].length) ** 2, 0);
  return { kl, kl_ci95: 1.96 * Math.sqrt(squares * n / (n - 1)) / tokens };
}

/** How answers are, whatever they say. */
export function shapeOf(drawn: readonly DrawnAnswer[]): Record<string, number> {
  const repetitions = drawn.flatMap(({ ids }) => repetitionOf(ids) ?? []);
  return {
    "completions/mean_length": meanOf(drawn.map(({ ids }) => ids.length)),
    "completions/clipped_ratio": meanOf(
      drawn.map(({ finishReason }) => finishReason === "length" ? 1 : 0),
    ),
    ...repetitions.length > 0 ? { "completions/seq_rep_4": meanOf(repetitions) } : {},
  };
}

function repetitionOf(ids: readonly number[]): number | null {
  const pieces = ids.slice(PIECE - 1).map((_, i) => ids.slice(i, i + PIECE).join());
  return pieces.length === 0 ? null : 1 - new Set(pieces).size / pieces.length;
}

const meanOf = (values: readonly number[]) =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
