// This module is browser compatible.
import { type BatchLimits, divide } from "../data/divide.ts";
import { mix } from "../random.ts";

/** Where a step stands in the data. */
export interface StepPosition {
  epoch: number;
  /** First row of the step in the epoch's order, and the end. */
  begin: number;
  end: number;
}

/** Rows of a run in order: epochs of steps; the last step of an epoch takes what is left. */
export interface DataPlan {
  rows: number;
  rowsPerStep: number;
  stepsPerEpoch: number;
  totalSteps: number;
}

/**
 * @param epochs May be a fraction.
 * @param maxSteps Overrides the epochs if it is positive.
 */
export function planData(
  rows: number,
  rowsPerStep: number,
  epochs: number,
  maxSteps: number,
): DataPlan {
  const stepsPerEpoch = Math.ceil(rows / rowsPerStep);
  const totalSteps = maxSteps > 0 ? maxSteps : Math.ceil(epochs * stepsPerEpoch);
  return { rows, rowsPerStep, stepsPerEpoch, totalSteps };
}

/** @param step Counted from 0. */
export function positionOf(step: number, plan: DataPlan): StepPosition {
  const begin = (step % plan.stepsPerEpoch) * plan.rowsPerStep;
  return {
    epoch: Math.floor(step / plan.stepsPerEpoch),
    begin,
    end: Math.min(plan.rows, begin + plan.rowsPerStep),
  };
}

/**
 * Rows of the largest micro-batch that a run will meet.
 *
 * @param tokens Of each row.
 */
export function largestMicroBatch(
  tokens: readonly number[],
  plan: DataPlan,
  { limits, shuffle, seed }: { limits: BatchLimits; shuffle: boolean; seed: number },
): number[] {
  let order: Uint32Array = new Uint32Array();
  let largest: number[] = [];
  let most = -1;
  for (let step = 0; step < plan.totalSteps; step++) {
    const { epoch, begin, end } = positionOf(step, plan);
    if (begin === 0) {
      if (epoch > 0 && !shuffle) break;
      order = epochOrder(plan.rows, { shuffle, seed, epoch });
    }
    for (const rows of divide(order.subarray(begin, end), (row) => tokens[row], limits)) {
      const sum = rows.reduce((sum, row) => sum + tokens[row], 0);
      if (sum > most) [largest, most] = [rows, sum];
    }
  }
  return largest;
}

/**
 * The order of the rows in an epoch: a Fisher-Yates shuffle whose random numbers are a hash of (seed, epoch, position). It
 * needs no state, so a resumed run continues where it stopped.
 */
export function epochOrder(
  rows: number,
  { shuffle, seed, epoch }: { shuffle: boolean; seed: number; epoch: number },
): Uint32Array {
  const order = Uint32Array.from({ length: rows }, (_, i) => i);
  if (!shuffle) return order;
  for (let i = rows - 1; i > 0; i--) {
    const j = Math.floor(hash(seed, epoch, i) / 2 ** 32 * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** 32 well-mixed bits of three numbers. */
export function hash(a: number, b: number, c: number): number {
  return mix(mix(mix(0x9e3779b9 ^ a) ^ b) ^ c);
}
