import type { AdamWOptions } from "../../src/kernels/adamw.ts";

/** AdamW in double precision over one tensor; `step` counts from 1. Updates w, m and v. */
export function adamw(
  w: Float64Array,
  m: Float64Array,
  v: Float64Array,
  gradient: ArrayLike<number>,
  step: number,
  o: AdamWOptions,
): void {
  for (let i = 0; i < w.length; i++) {
    m[i] = o.beta1 * m[i] + (1 - o.beta1) * gradient[i];
    v[i] = o.beta2 * v[i] + (1 - o.beta2) * gradient[i] ** 2;
    const denominator = Math.sqrt(v[i]) / Math.sqrt(1 - o.beta2 ** step) + o.epsilon;
    const weightDecay = i < o.decaying ? o.weightDecay : 0;
    w[i] = w[i] * (1 - o.learningRate * weightDecay) -
      o.learningRate / (1 - o.beta1 ** step) * m[i] / denominator;
  }
}
