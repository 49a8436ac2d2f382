// This module is browser compatible.

/** How a row of qkv is divided: NH query heads, then NKV key heads, then NKV value heads, of HS elements each. */
export interface Heads {
  numHeads: number;
  numKvHeads: number;
  headSize: number;
}

/** Elements of a row of qkv: (NH + 2 NKV) HS. */
export function rowElements({ numHeads, numKvHeads, headSize }: Heads): number {
  return (numHeads + 2 * numKvHeads) * headSize;
}

/**
 * Checks what the kernels that know of heads rely on.
 *
 * @throws {RangeError} If HS is no multiple of 8 up to 128, or the query heads do not divide among the key heads.
 */
export function expectHeads(kernel: string, { numHeads, numKvHeads, headSize }: Heads): void {
  if (headSize % 8 !== 0 || headSize < 8 || headSize > 128) {
    throw new RangeError(
      `${kernel}: expected a head size that is a multiple of 8 up to 128, found ${headSize}`,
    );
  }
  if (numKvHeads < 1 || numHeads < 1 || numHeads % numKvHeads !== 0) {
    throw new RangeError(
      `${kernel}: expected query heads to divide evenly among key/value heads, ` +
        `found ${numHeads} among ${numKvHeads}`,
    );
  }
}
