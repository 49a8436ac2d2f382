// This module is browser compatible.

/**
 * Numbers of rows that are not finite: f16 overflowed, or weights are too large. They end what is being done, for every
 * comparison with them is false and would count a pair as wrong.
 *
 * @module
 */

import { PAIR_METRICS } from "../kernels/dpo_loss.ts";
import type { Operand } from "../kernels/shapes.ts";
import { nonFiniteError } from "../model/finite.ts";

/** A column of numbers, and what people call it. */
type Column = readonly [column: number, name: string];

/** Of scores as sequence_score writes them, those of chosen and rejected beside each other. */
export const SCORE_COLUMNS: readonly Column[] = [
  [1, "the log-probability of chosen"],
  [5, "the log-probability of rejected"],
  [2, "the log-probability of chosen with its prompt"],
  [6, "the log-probability of rejected with its prompt"],
  [0, "the score of chosen"],
  [4, "the score of rejected"],
];

/** Of PAIR_METRICS, causes before what follows from them. */
export const METRIC_COLUMNS: readonly Column[] = ([
  ["logp_chosen", "the log-probability of chosen"],
  ["logp_rejected", "the log-probability of rejected"],
  ["score_chosen", "the score of chosen"],
  ["score_rejected", "the score of rejected"],
  ["delta", "the margin"],
  ["loss", "the loss"],
] as const).map(([metric, name]) => [PAIR_METRICS.indexOf(metric), name]);

/**
 * @param rows What the numbers are of.
 * @param numbers As many for each row, (rows, width).
 * @returns The first number that is not finite, as `the loss of row 17 is NaN`; null if all are.
 */
export function findNotFinite(
  rows: readonly { index: number }[],
  numbers: ArrayLike<number>,
  columns: readonly Column[],
): string | null {
  const width = numbers.length / rows.length;
  for (const [i, { index }] of rows.entries()) {
    for (const [column, name] of columns) {
      const number = numbers[i * width + column];
      if (!Number.isFinite(number)) return `${name} of row ${index} is ${number}`;
    }
  }
  return null;
}

/**
 * @param whose Who computed the numbers, as "the reference".
 * @throws {NonFiniteError} If a number is not finite; the message names the row.
 */
export function expectFinite(
  whose: string,
  precision: Operand,
  rows: readonly { index: number }[],
  numbers: ArrayLike<number>,
  columns: readonly Column[] = SCORE_COLUMNS,
): void {
  const found = findNotFinite(rows, numbers, columns);
  if (found === null) return;
  throw nonFiniteError({ precision }, `numbers from ${whose}`, `that ${found}`);
}
