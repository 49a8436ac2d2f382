import assert from "node:assert/strict";
import type { Tensor } from "../../src/gpu/tensor.ts";
import {
  ATTENTION_TILE_ROWS,
  attentionBackward,
  attentionForward,
} from "../../src/kernels/attention.ts";
import { type Heads, rowElements } from "../../src/kernels/heads.ts";
import * as reference from "../reference/attention.ts";
import { type PackedTrees, packTrees } from "../reference/attention.ts";
import {
  assertClose,
  EPSILON,
  forEachVariant,
  operandTypes,
  output,
  read,
  run,
  upload,
  values,
} from "./harness.ts";

const heads = (numHeads: number, numKvHeads: number, headSize: number): Heads => ({
  numHeads,
  numKvHeads,
  headSize,
});

// A tree is a prefix and its branches. One token; primes; a tile and one more; empty prefix; empty branch; long prefix.
const cases: { trees: number[][]; heads: Heads }[] = [
  { trees: [[1]], heads: heads(1, 1, 8) },
  { trees: [[0, 1, 1], [1, 1, 0], [2, 0, 3]], heads: heads(2, 2, 16) },
  { trees: [[13, 7, 17], [0, 33], [32], [33, 32, 1]], heads: heads(3, 1, 24) },
  { trees: [[37, 31, 64], [0, 5, 65]], heads: heads(9, 3, 64) },
  { trees: [[11, 35, 2]], heads: heads(2, 1, 72) },
  { trees: [[3, 40, 29], [34]], heads: heads(4, 2, 128) },
];

interface Tensors {
  qkv: Tensor;
  queryTiles: Tensor;
  out: Tensor;
  lse: Tensor;
}

function tensors(
  packed: PackedTrees,
  qkv: Float32Array,
  heads: Heads,
  operand: "f32" | "f16",
): Tensors {
  const { rows, queryTiles } = packed;
  return {
    qkv: upload(qkv, [rows, rowElements(heads)], operand),
    queryTiles: upload(queryTiles, [queryTiles.length / 8, 8]),
    out: output([rows, heads.numHeads * heads.headSize], operand),
    lse: output([rows, heads.numHeads]),
  };
}

function forward({ out, lse, qkv, queryTiles }: Tensors, heads: Heads): void {
  run((commands) => attentionForward(commands, out, lse, qkv, queryTiles, heads));
}

async function backward(
  { out, lse, qkv, queryTiles }: Tensors,
  dout: Float32Array,
  packed: PackedTrees,
  heads: Heads,
): Promise<Float32Array> {
  const keyTiles = upload(packed.keyTiles, [packed.keyTiles.length / 4, 4]);
  const dqkv = output([...qkv.shape], out.dtype as "f32" | "f16");
  const delta = output([...lse.shape]);
  const upstream = upload(dout, [...out.shape], out.dtype);
  run((commands) =>
    attentionBackward(commands, dqkv, delta, upstream, qkv, out, lse, queryTiles, keyTiles, heads)
  );
  await read(delta);
  return await read(dqkv);
}

for (const operand of operandTypes) {
  Deno.test(`attention equals the reference, forward and backward, ${operand}`, async () => {
    await forEachVariant("attention", async () => {
      for (const { trees, heads } of cases) {
        const name = `trees ${JSON.stringify(trees)} of ${JSON.stringify(heads)}`;
        const packed = packTrees(trees, ATTENTION_TILE_ROWS);
        const qkv = values(1, packed.rows * rowElements(heads), operand, 2);
        const dout = values(2, packed.rows * heads.numHeads * heads.headSize, operand);
        const gpuTensors = tensors(packed, qkv, heads, operand);
        forward(gpuTensors, heads);
        const expected = reference.attentionForward(qkv, heads, packed.seen);
        // Scores are sums of HS products up to 4, scaled by HS^-1/2: their error, some units of 4 HS^1/2, is the relative
        // error of every weight.
        const relative = 8 * Math.sqrt(heads.headSize) * EPSILON.f32;
        assertClose(await read(gpuTensors.lse), expected.lse, { absolute: relative, name });
        assertClose(await read(gpuTensors.out), expected.out, {
          absolute: 2 * relative + (operand === "f16" ? EPSILON.f16 : 0),
          name,
        });

        const found = await backward(gpuTensors, dout, packed, heads);
        const gradient = reference.attentionBackward(dout, qkv, heads, packed.seen);
        const largest = gradient.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        // delta is made from the rounded out: with f16 that is half a unit of 2 in each of HS random products with dout.
        const rounding = operand === "f16"
          ? EPSILON.f16 * (largest + Math.sqrt(heads.headSize))
          : 0;
        assertClose(found, gradient, { absolute: 8 * relative * largest + rounding, name });
      }
    });
  });
}

Deno.test("attention's gradient equals central differences of the reference", () => {
  const shape = heads(3, 1, 8);
  const { rows, seen } = packTrees([[2, 3, 2], [0, 2]], ATTENTION_TILE_ROWS);
  const qkv = Float64Array.from(values(3, rows * rowElements(shape)));
  const dout = values(4, rows * shape.numHeads * shape.headSize);
  const loss = () =>
    reference.attentionForward(qkv, shape, seen).out.reduce((sum, o, i) => sum + o * dout[i], 0);
  const step = 1e-5;
  const differences = qkv.map((value, i) => {
    qkv[i] = value + step;
    const above = loss();
    qkv[i] = value - step;
    const below = loss();
    qkv[i] = value;
    return (above - below) / (2 * step);
  });
  assertClose(reference.attentionBackward(dout, qkv, shape, seen), differences, { absolute: 1e-8 });
});

Deno.test("a tree's results have the same bits whatever stands beside it", async () => {
  const shape = heads(3, 1, 64);
  const [tree, other] = [[21, 40, 33], [5, 9, 70]];
  const row = rowElements(shape);
  const outRow = shape.numHeads * shape.headSize;
  const packs = [[tree], [other, tree], [[0, 3], tree, other]];
  const alone = packTrees([tree], ATTENTION_TILE_ROWS).rows;
  const qkv = values(5, alone * row, "f32", 2);
  const dout = values(6, alone * outRow);
  await forEachVariant("attention", async () => {
    const results: Float32Array[][] = [];
    for (const trees of packs) {
      const packed = packTrees(trees, ATTENTION_TILE_ROWS);
      const start = packTrees(trees.slice(0, trees.indexOf(tree)), ATTENTION_TILE_ROWS).rows;
      const allQkv = values(7 + start, packed.rows * row);
      const allDout = values(8 + start, packed.rows * outRow);
      allQkv.set(qkv, start * row);
      allDout.set(dout, start * outRow);
      const gpuTensors = tensors(packed, allQkv, shape, "f32");
      forward(gpuTensors, shape);
      const dqkv = await backward(gpuTensors, allDout, packed, shape);
      const mine = (all: Float32Array, width: number) =>
        all.slice(start * width, (start + alone) * width);
      results.push([
        mine(await read(gpuTensors.out), outRow),
        mine(await read(gpuTensors.lse), shape.numHeads),
        mine(dqkv, row),
      ]);
    }
    assert.deepEqual(results[1], results[0]);
    assert.deepEqual(results[2], results[0]);
  });
});

Deno.test("a query tile may see a diagonal other than its own rows", async () => {
  // Rows 4 and 5 see keys 0..2 and 0..3, as rows 2 and 3 do in the tile of the plain sequence.
  const shape = heads(1, 1, 16);
  const qkv = values(9, 6 * rowElements(shape));
  await forEachVariant("attention", async () => {
    const gpuTensors = {
      qkv: upload(qkv, [6, rowElements(shape)]),
      queryTiles: upload(Uint32Array.of(0, 4, 0, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 2, 0, 0), [2, 8]),
      out: output([6, 16]),
      lse: output([6, 1]),
    };
    forward(gpuTensors, shape);
    const seen = [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2], [0, 1, 2, 3]];
    const expected = reference.attentionForward(qkv, shape, seen);
    assertClose(await read(gpuTensors.out), expected.out, { absolute: 64 * EPSILON.f32 });
    assertClose(await read(gpuTensors.lse), expected.lse, { absolute: 64 * EPSILON.f32 });
  });
});

Deno.test("attention refuses shapes that disagree, by name", () => {
  const packed = packTrees([[3]], ATTENTION_TILE_ROWS);
  const gpuTensors = tensors(packed, values(1, 3 * 72), heads(1, 1, 24), "f32");
  assert.throws(() => forward(gpuTensors, heads(2, 1, 24)), {
    name: "RangeError",
    message: /attention_forward: expected qkv of shape \(3, 96\)/,
  });
});
