// This module is browser compatible.
import type { BatchLimits } from "../data/divide.ts";
import { UserError } from "../errors.ts";
import { Readback } from "../gpu/readback.ts";
import type { Workspace } from "../gpu/workspace.ts";
import { mostTokensTogether } from "../model/forward.ts";
import type { Model } from "../model/model.ts";
import type { MakeStep } from "./loop.ts";
import type { Optimizer } from "./optimizer.ts";
import { trainingStep } from "./step.ts";

/** Bytes that a training run will need on the GPU. */
export interface MemoryPlan {
  /** Allocated already: weights, gradients, moments, reference, trunk cache. */
  allocated: number;
  /** Scratch of the largest step. */
  step: number;
  /** Scratch of an evaluation, which comes before and after the steps. */
  evaluation: number;
  /** At the worst time. */
  total: number;
  /** What bounds the tokens of a batch; null if nothing does. */
  batchTokens: number | null;
  /** Whether layers are computed again in the backward pass. */
  recomputes: boolean;
}

/** A training whose memory can be planned. */
export interface Planned<Row> {
  model: Model;
  optimizer: Optimizer;
  steps: MakeStep;
  /** How much of a step is computed together. Steps that are made later follow what is set here. */
  limits: BatchLimits;
  /** Whether batches may be smaller than the options say: not where a loss is of all rows of a batch. */
  divides: boolean;
  /** The scratch memory of its models. */
  workspaces: readonly Workspace[];
  /** The same training of other rows on a device that only counts memory. */
  counted(rows: readonly Row[]): Planned<Row>;
}

/**
 * What a run will need, found out before the first step by doing its work on a device that only counts.
 *
 * @param rows The largest micro-batch.
 * @param evaluation Does on it what an evaluation does.
 */
export async function planMemory<Row, T extends Planned<Row>>(
  training: { counted(rows: readonly Row[]): T } & Planned<Row>,
  rows: readonly Row[],
  evaluation?: (counted: T) => Promise<unknown>,
): Promise<MemoryPlan> {
  const counted = training.counted(rows);
  const { memory } = counted.model.gpu;
  const before = memory.bytes;
  const count = async (work: () => unknown) => {
    memory.peakBytes = memory.bytes;
    await work();
    releaseScratch(counted);
    return memory.peakBytes - before;
  };
  const first = evaluation ? await count(() => evaluation(counted)) : 0;
  const between = memory.bytes;
  const step = await count(() => recordStep(counted, rows));
  // Copies of weights stay, so the evaluation at the end finds more memory taken.
  const last = first > 0 ? first + memory.bytes - between : 0;
  const allocated = training.model.gpu.memory.bytes;
  const { limits, model: { runtime } } = training;
  return {
    allocated,
    step,
    evaluation: last,
    total: allocated + Math.max(step, last),
    batchTokens: Number.isFinite(limits.tokens) ? limits.tokens : null,
    recomputes: runtime.recomputes,
  };
}

/** Makes the scratch memory of the largest step, so that none grows from step to step. */
export function reserveStep<Row>(training: Planned<Row>, rows: readonly Row[]): void {
  const counted = training.counted(rows);
  recordStep(counted, rows);
  for (const [i, workspace] of training.workspaces.entries()) {
    workspace.reserve(counted.workspaces[i]);
  }
}

/** Frees the scratch memory: what comes next takes other buffers. */
export function releaseScratch({ workspaces }: Pick<Planned<never>, "workspaces">): void {
  for (const workspace of workspaces) workspace.release();
}

function recordStep<Row>(
  { model, optimizer, steps }: Planned<Row>,
  rows: readonly Row[],
): void {
  const readback = new Readback(model.gpu);
  const { microBatches } = steps(Uint32Array.from(rows.keys()), readback);
  trainingStep(model, optimizer, microBatches, 0, readback);
}

/**
 * @param tokens Of each row of the largest micro-batch.
 * @throws {UserError} If it needs a buffer that is larger than the adapter can bind; the message says what would fit.
 */
export function checkBatch({ gpu, weights }: Model, tokens: readonly number[]): void {
  const most = mostTokensTogether(gpu, weights);
  const all = tokens.reduce((sum, count) => sum + count, 0);
  if (all <= most) return;
  const descending = tokens.toSorted((a, b) => b - a);
  let fitting = 0;
  for (let sum = 0; sum + descending[fitting] <= most; fitting++) sum += descending[fitting];
  throw new UserError(
    `Expected batches of at most ${most} tokens, for that is what "${gpu.info.description}" binds at once, found one of ${all}: ` +
      (fitting > 0
        ? `--per-device-train-batch-size ${fitting} fits, or --max-tokens-per-batch ${most}`
        : "lower --max-length, not even one row fits"),
  );
}

const mib = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;

/** Bytes in all, and what makes them fewer. */
export function totalInWords({ total, batchTokens, recomputes }: MemoryPlan): string {
  const savings = [
    ...batchTokens === null ? [] : [`at most ${batchTokens} tokens together`],
    ...recomputes ? ["layers computed again"] : [],
  ];
  return [mib(total), ...savings].join(", ");
}

/** What takes them, in a line. */
export function planInWords({ allocated, step, evaluation, total }: MemoryPlan): string {
  const parts = [`weights and optimizer ${mib(allocated)}`, `a step ${mib(step)}`];
  if (evaluation > 0) parts.push(`or an evaluation ${mib(evaluation)}`);
  return `${mib(total)}: ${parts.join(", ")}`;
}
