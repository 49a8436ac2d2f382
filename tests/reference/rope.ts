import type { Heads } from "../../src/kernels/heads.ts";

/** Rotates query and key heads of qkv (N, (NH + 2 NKV) HS) by direction * position * frequency. */
export function rope(
  qkv: ArrayLike<number>,
  frequencies: ArrayLike<number>,
  positions: ArrayLike<number>,
  { numHeads, numKvHeads, headSize: HS }: Heads,
  direction: 1 | -1,
): Float64Array {
  const rotated = Float64Array.from(qkv);
  for (let n = 0; n < positions.length; n++) {
    for (let head = 0; head < numHeads + numKvHeads; head++) {
      for (let i = 0; i < HS / 2; i++) {
        const at = (n * (numHeads + 2 * numKvHeads) + head) * HS + i;
        const angle = direction * positions[n] * frequencies[i];
        rotated[at] = qkv[at] * Math.cos(angle) - qkv[at + HS / 2] * Math.sin(angle);
        rotated[at + HS / 2] = qkv[at + HS / 2] * Math.cos(angle) + qkv[at] * Math.sin(angle);
      }
    }
  }
  return rotated;
}
