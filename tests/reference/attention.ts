import type { Heads } from "../../src/kernels/heads.ts";

/** Rows of packed trees: which keys each row sees, and the tiles that tell the kernels. */
export interface PackedTrees {
  rows: number;
  /** Keys that a row sees, by row. */
  seen: number[][];
  queryTiles: Uint32Array;
  keyTiles: Uint32Array;
}

const range = (begin: number, end: number) =>
  Array.from({ length: Math.max(0, end - begin) }, (_, i) => begin + i);

/** Packs trees, each a prefix length and the lengths of its branches, in tiles of at most `tileRows` rows. */
export function packTrees(trees: number[][], tileRows: number): PackedTrees {
  const packed = { rows: 0, seen: [] as number[][] };
  const queryTiles: number[] = [];
  const keyTiles: number[] = [];
  for (const [prefix, ...branches] of trees) {
    const start = packed.rows;
    const treeEnd = start + prefix + branches.reduce((sum, length) => sum + length, 0);
    for (const [index, length] of [prefix, ...branches].entries()) {
      const begin = packed.rows;
      const prefixEnd = index === 0 ? start : start + prefix;
      const queryEnd = index === 0 ? treeEnd : begin + length;
      for (let row = begin; row < begin + length; row++) {
        packed.seen.push([...range(start, prefixEnd), ...range(begin, row + 1)]);
      }
      for (let row = begin; row < begin + length; row += tileRows) {
        const count = Math.min(tileRows, begin + length - row);
        queryTiles.push(row, count, start, prefixEnd, begin, row, 0, 0);
        keyTiles.push(row, count, queryEnd, 0);
      }
      packed.rows += length;
    }
  }
  return {
    ...packed,
    queryTiles: Uint32Array.from(queryTiles),
    keyTiles: Uint32Array.from(keyTiles),
  };
}

/** Places of query, key and value head in rows of qkv, and the head's weights p by row over the keys it sees. */
function weightsOf(
  qkv: ArrayLike<number>,
  { numHeads: NH, numKvHeads: NKV, headSize: HS }: Heads,
  head: number,
  seen: number[][],
) {
  const stride = (NH + 2 * NKV) * HS;
  const keyColumn = (NH + Math.floor(head / (NH / NKV))) * HS;
  const q = (row: number) => row * stride + head * HS;
  const k = (row: number) => row * stride + keyColumn;
  const v = (row: number) => k(row) + NKV * HS;
  const dot = (a: ArrayLike<number>, atA: number, b: ArrayLike<number>, atB: number) => {
    let sum = 0;
    for (let d = 0; d < HS; d++) sum += a[atA + d] * b[atB + d];
    return sum;
  };
  const lse: number[] = [];
  const p = seen.map((keys, row) => {
    const s = keys.map((key) => dot(qkv, q(row), qkv, k(key)) / Math.sqrt(HS));
    const maximum = Math.max(...s);
    lse.push(maximum + Math.log(s.reduce((sum, score) => sum + Math.exp(score - maximum), 0)));
    return s.map((score) => Math.exp(score - lse[row]));
  });
  return { q, k, v, dot, p, lse };
}

/** out (N, NH HS) and lse (N, NH) for qkv (N, (NH + 2 NKV) HS), where row n sees the keys `seen[n]`. */
export function attentionForward(
  qkv: ArrayLike<number>,
  heads: Heads,
  seen: number[][],
): { out: Float64Array; lse: Float64Array } {
  const { numHeads: NH, headSize: HS } = heads;
  const out = new Float64Array(seen.length * NH * HS);
  const lse = new Float64Array(seen.length * NH);
  for (let head = 0; head < NH; head++) {
    const of = weightsOf(qkv, heads, head, seen);
    for (const [row, keys] of seen.entries()) {
      lse[row * NH + head] = of.lse[row];
      for (const [j, key] of keys.entries()) {
        for (let d = 0; d < HS; d++) {
          out[(row * NH + head) * HS + d] += of.p[row][j] * qkv[of.v(key) + d];
        }
      }
    }
  }
  return { out, lse };
}

/** dqkv (N, (NH + 2 NKV) HS) for dout (N, NH HS). */
export function attentionBackward(
  dout: ArrayLike<number>,
  qkv: ArrayLike<number>,
  heads: Heads,
  seen: number[][],
): Float64Array {
  const { numHeads: NH, headSize: HS } = heads;
  const dqkv = new Float64Array(qkv.length);
  for (let head = 0; head < NH; head++) {
    const { q, k, v, dot, p } = weightsOf(qkv, heads, head, seen);
    for (const [row, keys] of seen.entries()) {
      const at = (row * NH + head) * HS;
      const dp = keys.map((key) => dot(dout, at, qkv, v(key)));
      const delta = keys.reduce((sum, _, j) => sum + p[row][j] * dp[j], 0);
      for (const [j, key] of keys.entries()) {
        const ds = p[row][j] * (dp[j] - delta) / Math.sqrt(HS);
        for (let d = 0; d < HS; d++) {
          dqkv[q(row) + d] += ds * qkv[k(key) + d];
          dqkv[k(key) + d] += ds * qkv[q(row) + d];
          dqkv[v(key) + d] += p[row][j] * dout[at + d];
        }
      }
    }
  }
  return dqkv;
}
