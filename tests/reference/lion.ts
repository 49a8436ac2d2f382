import type { LionOptions } from "../../src/kernels/lion.ts";

/** Lion in double precision over one tensor. Updates w and m. */
export function lion(
  w: Float64Array,
  m: Float64Array,
  gradient: ArrayLike<number>,
  { learningRate, weightDecay, decaying, beta1, beta2 }: LionOptions,
): void {
  for (let i = 0; i < w.length; i++) {
    const direction = Math.sign(beta1 * m[i] + (1 - beta1) * gradient[i]);
    const shrunk = w[i] * (1 - learningRate * (i < decaying ? weightDecay : 0));
    w[i] = shrunk - learningRate * direction;
    m[i] = beta2 * m[i] + (1 - beta2) * gradient[i];
  }
}
