import assert from "node:assert/strict";
import { writeTensor } from "../../src/gpu/tensor.ts";
import { ropeBackward, ropeForward } from "../../src/kernels/rope.ts";
import { rowElements } from "../../src/kernels/heads.ts";
import { ropeFrequencies, ropeTable } from "../../src/model/rope_frequencies.ts";
import * as reference from "../reference/rope.ts";
import {
  assertClose,
  EPSILON,
  gpu,
  operandTypes,
  output,
  random,
  read,
  run,
  upload,
  values,
} from "./harness.ts";

const shapes = [
  { N: 1, numHeads: 1, numKvHeads: 1, headSize: 8 },
  { N: 13, numHeads: 3, numKvHeads: 1, headSize: 24 },
  { N: 5, numHeads: 9, numKvHeads: 3, headSize: 64 },
  { N: 3, numHeads: 2, numKvHeads: 2, headSize: 128 },
];
const POSITIONS = 8192;

function inputs(operand: "f32" | "f16", { N, ...heads }: typeof shapes[number]) {
  const row = rowElements(heads);
  const qkv = values(1, N * row, operand);
  const next = random(2);
  const positions = Uint32Array.from(
    { length: N },
    (_, n) => n === 0 ? POSITIONS - 1 : Math.floor((next() + 1) / 2 * POSITIONS),
  );
  const config = { headSize: heads.headSize, ropeTheta: 10000, ropeScaling: null };
  const tensor = output([N, row], operand);
  writeTensor(gpu, tensor, operand === "f16" ? Float16Array.from(qkv) : qkv);
  return {
    heads,
    qkv,
    positions,
    frequencies: ropeFrequencies(config),
    tensor,
    table: upload(ropeTable(config, POSITIONS), [POSITIONS, heads.headSize]),
    positionTensor: upload(positions, [N]),
  };
}

for (const operand of operandTypes) {
  for (
    const [name, rotate, direction] of [["rope_forward", ropeForward, 1], [
      "rope_backward",
      ropeBackward,
      -1,
    ]] as const
  ) {
    Deno.test(`${name} equals the reference, ${operand}`, async () => {
      for (const shape of shapes) {
        const { heads, qkv, positions, frequencies, tensor, table, positionTensor } = inputs(
          operand,
          shape,
        );
        run((commands) => rotate(commands, tensor, table, positionTensor, heads));
        const expected = reference.rope(qkv, frequencies, positions, heads, direction);
        // Two products of numbers up to 1, each with a rounded cosine or sine, then the rounding of the result.
        assertClose(await read(tensor), expected, { absolute: 2 * EPSILON[operand] });
      }
    });
  }
}

Deno.test("rope_backward undoes rope_forward", async () => {
  const { heads, qkv, tensor, table, positionTensor } = inputs("f32", shapes[2]);
  run((commands) => {
    ropeForward(commands, tensor, table, positionTensor, heads);
    ropeBackward(commands, tensor, table, positionTensor, heads);
  });
  assertClose(await read(tensor), qkv, { absolute: 4 * EPSILON.f32 });
});

Deno.test("rope refuses head sizes it cannot take four at a time", () => {
  const { tensor, table, positionTensor } = inputs("f32", shapes[0]);
  const heads = { numHeads: 1, numKvHeads: 1, headSize: 12 };
  assert.throws(
    () => run((commands) => ropeForward(commands, tensor, table, positionTensor, heads)),
    { name: "RangeError", message: /multiple of 8 up to 128, found 12/ },
  );
});
