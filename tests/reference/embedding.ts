/** x (N, C) with x[n] = weight[ids[n]]. */
export function embeddingForward(
  weight: ArrayLike<number>,
  ids: ArrayLike<number>,
  C: number,
): Float64Array {
  return Float64Array.from(
    { length: ids.length * C },
    (_, i) => weight[ids[Math.floor(i / C)] * C + i % C],
  );
}

/** dweight (V, C) plus the gradient of the look-up, for dx (N, C). */
export function embeddingBackward(
  dweight: ArrayLike<number>,
  dx: ArrayLike<number>,
  ids: ArrayLike<number>,
  C: number,
): Float64Array {
  const sum = Float64Array.from(dweight);
  for (let i = 0; i < dx.length; i++) sum[ids[Math.floor(i / C)] * C + i % C] += dx[i];
  return sum;
}
