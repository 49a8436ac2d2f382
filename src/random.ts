// This module is browser compatible.
/**
 * Numbers that look random and are the same on every machine: for weights, orders and digests, not for secrets.
 *
 * @module
 */

/** Whole numbers of 32 bits, each as likely as another (Tommy Ettinger's mulberry32). */
export function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
}

/** Mixes 32 bits well, one to one: the multiplications of MurmurHash3's finalizer. */
export function mix(bits: number): number {
  bits = Math.imul(bits, 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
