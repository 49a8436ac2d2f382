// This module is browser compatible.
import { Readback } from "../gpu/readback.ts";
import type { Model } from "../model/model.ts";
import { nonFiniteGradient } from "./diagnose.ts";
import type { Optimizer } from "./optimizer.ts";
import { learningRateAt, type Schedule } from "./schedule.ts";
import { type TrainingBatch, trainingStep } from "./step.ts";
import { type StepMetrics, stepMetrics } from "./step_metrics.ts";
import type { StepRows } from "./step_rows.ts";

/** Turns rows into the micro-batches of a step. */
export type MakeStep = (rows: Uint32Array, readback: Readback) => MadeStep;

/** A step's micro-batches, and what is known of them after the next fetch. */
export interface MadeStep {
  microBatches: TrainingBatch[];
  tokens: number;
  metrics: () => Record<string, number>;
  /** The first number of a row that is not finite, in words; null if all are. */
  notFinite: () => string | null;
}

export interface LoopOptions {
  rows: StepRows;
  /** Its `totalSteps` are where the run ends. */
  schedule: Schedule;
  /** The rate of the next step, where it follows from evaluations and not from the schedule. */
  learningRate?(): number;
  /** Steps done by the run that is resumed. */
  firstStep?: number;
  /** Finish the step and return when it is aborted. */
  signal?: AbortSignal;
  /** Called with each step's metrics, in order, soon after the step. */
  onStep(metrics: StepMetrics): Promise<void> | void;
  /** Called after each step, when its commands are on their way. */
  afterStep?(step: number): void;
  /** Called between steps, when all metrics are in: write a checkpoint. */
  saveEverySteps: number;
  save(step: number): Promise<void>;
  /** What to change where numbers are not finite. */
  remedy?: string;
  /** What evaluates between steps, when all metrics are in. */
  evaluation?: {
    isDue(step: number): boolean;
    evaluate(step: number): Promise<Verdict>;
  };
}

/** What follows from an evaluation. */
export interface Verdict {
  /** Whether to write a checkpoint. */
  saves: boolean;
  /** Whether the training is over. */
  stops: boolean;
}

/** Milliseconds between fetches of metrics: a fetch stalls the GPU, so it must be rare beside steps of a few ms. */
const FETCH_INTERVAL_MS = 1000;
const FIRST_STEPS = 3;
/** Steps in a row that may overflow at the smallest loss scale: one odd batch must not end a long run. */
const SKIPS_AT_FLOOR = 3;

/**
 * Runs the optimizer steps of a training.
 *
 * @returns Steps done in all: `schedule.totalSteps`, or fewer if the signal was aborted or an evaluation stopped it.
 * @throws {UserError} If loss or gradient are not finite; the message names row and tensor.
 */
export async function trainLoop(
  model: Model,
  optimizer: Optimizer,
  makeStep: MakeStep,
  options: LoopOptions,
): Promise<number> {
  const { schedule, firstStep = 0, signal } = options;
  using readback = new Readback(model.gpu);
  const waiting: (() => [StepMetrics, notFinite: string | null])[] = [];
  let fetchedMs = performance.now();
  let skipsAtFloor = 0;
  let lossScale = Infinity;

  const fetch = async () => {
    await readback.fetch();
    fetchedMs = performance.now();
    for (const complete of waiting.splice(0)) {
      const [metrics, notFinite] = complete();
      // While the scale still falls, an overflow only says that it was too large.
      const falls = optimizer.dynamic && metrics.loss_scale < lossScale;
      skipsAtFloor = metrics.skipped && !falls ? skipsAtFloor + 1 : 0;
      lossScale = metrics.loss_scale;
      const overflows = skipsAtFloor >= (optimizer.dynamic ? SKIPS_AT_FLOOR : 1);
      if (overflows || notFinite !== null) {
        throw await nonFiniteGradient(model, metrics, notFinite, options.remedy);
      }
      await options.onStep(metrics);
    }
  };

  let step = firstStep;
  let pass = -1;
  for (; step < schedule.totalSteps && !signal?.aborted; step++) {
    const next = await options.rows.next(step);
    if (next.pass !== pass) {
      pass = next.pass;
      await fetch(); // what the last epoch scored is known before it is looked up
    }
    const learningRate = options.learningRate?.() ?? learningRateAt(step, schedule);
    const made = makeStep(next.rows, readback);
    const report = trainingStep(model, optimizer, made.microBatches, learningRate, readback);
    const known = {
      step: step + 1,
      epoch: next.epoch,
      learning_rate: learningRate,
      tokens: made.tokens,
    };
    waiting.push(() => [stepMetrics(known, made.metrics(), report()), made.notFinite()]);
    const done = step + 1;
    options.afterStep?.(done);
    const saves = options.saveEverySteps > 0 && done % options.saveEverySteps === 0;
    const evaluates = options.evaluation?.isDue(done) ?? false;
    // Where others share the thread, work is done when it is waited for: step by step.
    const due = model.gpu.turns || performance.now() - fetchedMs > FETCH_INTERVAL_MS;
    const begins = done - firstStep <= FIRST_STEPS;
    if (saves || evaluates || due || begins || !readback.fits(2 ** 20)) await fetch();
    const verdict = evaluates ? await options.evaluation!.evaluate(done) : null;
    if (saves || verdict?.saves) await options.save(done);
    if (verdict?.stops) return done;
  }
  await fetch();
  return step;
}
