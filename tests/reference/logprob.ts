/** One scored position: the log-probability of `target` after row `row` counts with `weight` in sequence `sequence`. */
export interface Scored {
  row: number;
  target: number;
  sequence: number;
  weight: number;
}

/** Log-sum-exp of each row of logits (R, stride) over its first V columns, in double precision. */
export function logSumExp(logits: ArrayLike<number>, R: number, V: number, stride: number) {
  return Float64Array.from({ length: R }, (_, r) => {
    let largest = -Infinity;
    for (let v = 0; v < V; v++) largest = Math.max(largest, logits[r * stride + v]);
    let sum = 0;
    for (let v = 0; v < V; v++) sum += Math.exp(logits[r * stride + v] - largest);
    return largest + Math.log(sum);
  });
}

/** dlogits (R, stride) for dscore per sequence, in double precision; the padding is 0. */
export function logprobBackward(
  logits: ArrayLike<number>,
  scored: Scored[],
  dscore: ArrayLike<number>,
  { R, V, stride }: { R: number; V: number; stride: number },
): Float64Array {
  const lse = logSumExp(logits, R, V, stride);
  const dlogits = new Float64Array(R * stride);
  for (const { row, target, sequence, weight } of scored) {
    const coefficient = dscore[sequence] * weight;
    for (let v = 0; v < V; v++) {
      const probability = Math.exp(logits[row * stride + v] - lse[row]);
      dlogits[row * stride + v] += coefficient * (Number(v === target) - probability);
    }
  }
  return dlogits;
}
