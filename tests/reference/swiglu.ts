const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** a (N, F) = silu(gate) * up for gate_up (N, 2F). */
export function swigluForward(gateUp: ArrayLike<number>, N: number, F: number): Float64Array {
  const a = new Float64Array(N * F);
  for (let n = 0; n < N; n++) {
    for (let f = 0; f < F; f++) {
      const gate = gateUp[n * 2 * F + f];
      a[n * F + f] = gate * sigmoid(gate) * gateUp[n * 2 * F + F + f];
    }
  }
  return a;
}

/** dgate_up (N, 2F) for da (N, F). */
export function swigluBackward(
  da: ArrayLike<number>,
  gateUp: ArrayLike<number>,
  N: number,
  F: number,
): Float64Array {
  const dgateUp = new Float64Array(N * 2 * F);
  for (let n = 0; n < N; n++) {
    for (let f = 0; f < F; f++) {
      const at = n * 2 * F + f;
      const gate = gateUp[at];
      const s = sigmoid(gate);
      dgateUp[at] = da[n * F + f] * gateUp[at + F] * (s + gate * s * (1 - s));
      dgateUp[at + F] = da[n * F + f] * gate * s;
    }
  }
  return dgateUp;
}
