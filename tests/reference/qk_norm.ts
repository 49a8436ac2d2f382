import type { Heads } from "../../src/kernels/heads.ts";
import { rmsnormBackward, rmsnormForward } from "./rmsnorm.ts";

/** Calls with each query and key head of N rows: its index among them, its place in a row of heads, and its gain's. */
function eachHead(
  N: number,
  { numHeads, numKvHeads, headSize }: Heads,
  visit: (head: number, begin: number, gain: number) => void,
): void {
  const normalized = numHeads + numKvHeads;
  for (let n = 0; n < N; n++) {
    for (let h = 0; h < normalized; h++) {
      const begin = (n * (normalized + numKvHeads) + h) * headSize;
      visit(n * normalized + h, begin, h < numHeads ? 0 : headSize);
    }
  }
}

const slice = (all: ArrayLike<number>, begin: number, length: number) =>
  Float64Array.from({ length }, (_, i) => all[begin + i]);

/** qkv with each query and key head of x (N, (NH + 2 NKV) HS) normalized, weight (2, HS), and rstd, in double precision. */
export function qkNormForward(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  N: number,
  heads: Heads,
  eps: number,
): { qkv: Float64Array; rstd: Float64Array } {
  const HS = heads.headSize;
  const qkv = Float64Array.from(x);
  const rstd = new Float64Array(N * (heads.numHeads + heads.numKvHeads));
  eachHead(N, heads, (head, begin, gain) => {
    const normalized = rmsnormForward(slice(x, begin, HS), slice(weight, gain, HS), 1, HS, eps);
    qkv.set(normalized.y, begin);
    rstd[head] = normalized.rstd[0];
  });
  return { qkv, rstd };
}

/** Gradients of {@link qkNormForward} for dy (N, (NH + 2 NKV) HS), in double precision. */
export function qkNormBackward(
  dy: ArrayLike<number>,
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  rstd: ArrayLike<number>,
  N: number,
  heads: Heads,
): { dx: Float64Array; dweight: Float64Array } {
  const HS = heads.headSize;
  const dx = Float64Array.from(dy);
  const dweight = new Float64Array(2 * HS);
  eachHead(N, heads, (head, begin, gain) => {
    const [upstream, input] = [slice(dy, begin, HS), slice(x, begin, HS)];
    const own = slice(weight, gain, HS);
    const gradients = rmsnormBackward(upstream, input, own, [rstd[head]], 1, HS);
    dx.set(gradients.dx, begin);
    for (const [i, value] of gradients.dweight.entries()) dweight[gain + i] += value;
  });
  return { dx, dweight };
}
