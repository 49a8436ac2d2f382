/** RMSNorm in double precision: y (N, C) and rstd (N) for x (N, C). */
export function rmsnormForward(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  N: number,
  C: number,
  eps: number,
): { y: Float64Array; rstd: Float64Array } {
  const y = new Float64Array(N * C);
  const rstd = new Float64Array(N);
  for (let n = 0; n < N; n++) {
    let sum = 0;
    for (let c = 0; c < C; c++) sum += x[n * C + c] ** 2;
    rstd[n] = 1 / Math.sqrt(sum / C + eps);
    for (let c = 0; c < C; c++) y[n * C + c] = x[n * C + c] * rstd[n] * weight[c];
  }
  return { y, rstd };
}

/** dx (N, C) and dweight (C) of {@link rmsnormForward} for the upstream gradient dy (N, C), in double precision. */
export function rmsnormBackward(
  dy: ArrayLike<number>,
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  rstd: ArrayLike<number>,
  N: number,
  C: number,
): { dx: Float64Array; dweight: Float64Array } {
  const dx = new Float64Array(N * C);
  const dweight = new Float64Array(C);
  for (let n = 0; n < N; n++) {
    let mean = 0;
    for (let c = 0; c < C; c++) {
      const i = n * C + c;
      mean += dy[i] * weight[c] * x[i] * rstd[n] / C;
      dweight[c] += dy[i] * x[i] * rstd[n];
    }
    for (let c = 0; c < C; c++) {
      const i = n * C + c;
      dx[i] = rstd[n] * (dy[i] * weight[c] - x[i] * rstd[n] * mean);
    }
  }
  return { dx, dweight };
}
