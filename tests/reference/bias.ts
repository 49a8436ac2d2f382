/** dbias (N), the sum of the rows of dy (M, N), in double precision. */
export function biasBackward(dy: ArrayLike<number>, M: number, N: number): Float64Array {
  const dbias = new Float64Array(N);
  for (let m = 0; m < M; m++) {
    for (let n = 0; n < N; n++) dbias[n] += dy[m * N + n];
  }
  return dbias;
}
