// This module is browser compatible.

/** How much is computed together, at most. */
export interface BatchLimits {
  rows: number;
  tokens: number;
}

/**
 * Consecutive rows in batches, each as large as the limits allow. A row of more tokens than that stands alone.
 *
 * @param tokensOf A row's.
 */
export function divide<Row>(
  rows: Iterable<Row>,
  tokensOf: (row: Row) => number,
  limits: BatchLimits,
): Row[][] {
  const batches: Row[][] = [];
  let tokens = 0;
  for (const row of rows) {
    const count = tokensOf(row);
    const last = batches.at(-1);
    if (last && last.length < limits.rows && tokens + count <= limits.tokens) {
      last.push(row);
      tokens += count;
    } else {
      batches.push([row]);
      tokens = count;
    }
  }
  return batches;
}
