/** y (M, stride) = x (M, K) weight^T (N, K) + bias (N) + residual, in double precision; columns N..stride are 0. */
export function matmulForward(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  residual: ArrayLike<number> | undefined,
  { M, N, K, stride }: { M: number; N: number; K: number; stride: number },
  bias?: ArrayLike<number>,
): Float64Array {
  const y = new Float64Array(M * stride);
  for (let m = 0; m < M; m++) {
    for (let n = 0; n < stride; n++) {
      let sum = residual ? residual[m * stride + n] : 0;
      if (bias && n < N) sum += bias[n];
      if (n < N) { for (let k = 0; k < K; k++) sum += x[m * K + k] * weight[n * K + k]; }
      y[m * stride + n] = sum;
    }
  }
  return y;
}

/** dx (M, K) = dy (M, stride) weight (N, K), and dweight (N, K) = dy^T x, in double precision. */
export function matmulBackward(
  dy: ArrayLike<number>,
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  { M, N, K, stride }: { M: number; N: number; K: number; stride: number },
): { dx: Float64Array; dweight: Float64Array } {
  const dx = new Float64Array(M * K);
  const dweight = new Float64Array(N * K);
  for (let m = 0; m < M; m++) {
    for (let n = 0; n < N; n++) {
      const upstream = dy[m * stride + n];
      for (let k = 0; k < K; k++) {
        dx[m * K + k] += upstream * weight[n * K + k];
        dweight[n * K + k] += upstream * x[m * K + k];
      }
    }
  }
  return { dx, dweight };
}
