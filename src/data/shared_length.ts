// This module is browser compatible.

/** @returns How many first elements of `a` and `b` are the same. */
export function sharedLength<T>(
  a: ArrayLike<T>,
  b: ArrayLike<T>,
  same: (a: T, b: T) => boolean = Object.is,
): number {
  const end = Math.min(a.length, b.length);
  let length = 0;
  while (length < end && same(a[length], b[length])) length++;
  return length;
}
