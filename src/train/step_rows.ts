// This module is browser compatible.
import { type DataPlan, epochOrder, positionOf } from "./order.ts";

/** The rows of a step. */
export interface NextRows {
  /** Their places in what the steps were made from. */
  rows: Uint32Array;
  /** The pass over the data that they are from, counted from 0. */
  pass: number;
  /** Passes done after them. */
  epoch: number;
}

/** Where the rows of steps come from. */
export interface StepRows {
  /** @param step Counted from 0; each call asks for the step after the last one. */
  next(step: number): NextRows | Promise<NextRows>;
}

/** Rows that are all in memory, in an order of their own in each epoch. */
export function plannedRows(
  plan: DataPlan,
  options: { shuffle: boolean; seed: number },
): StepRows {
  let order: Uint32Array = new Uint32Array();
  let orderEpoch = -1;
  return {
    next(step) {
      const { epoch, begin, end } = positionOf(step, plan);
      if (epoch !== orderEpoch) order = epochOrder(plan.rows, { ...options, epoch });
      orderEpoch = epoch;
      return {
        rows: order.subarray(begin, end),
        pass: epoch,
        epoch: (step + 1) / plan.stepsPerEpoch,
      };
    },
  };
}
