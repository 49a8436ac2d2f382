import assert from "node:assert/strict";
import { embeddingBackward, embeddingForward, groupById } from "../../src/kernels/embedding.ts";
import { writeTensor } from "../../src/gpu/tensor.ts";
import * as reference from "../reference/embedding.ts";
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

// Rows, channels and vocabulary: one of each, primes, just over a workgroup, SmolLM's channels.
const shapes = [[1, 4, 1], [13, 52, 7], [257, 4, 3], [31, 576, 101]];

function someIds(seed: number, N: number, V: number): Uint32Array {
  const next = random(seed);
  return Uint32Array.from({ length: N }, () => Math.floor((next() + 1) / 2 * V));
}

for (const element of operandTypes) {
  for (const operand of operandTypes) {
    Deno.test(`embedding_forward equals the reference, ${element} to ${operand}`, async () => {
      for (const [N, C, V] of shapes) {
        const weight = values(1, V * C, element);
        const ids = someIds(2, N, V);
        const x = output([N, C], operand);
        const weightTensor = upload(weight, [V, C], element);
        run((commands) => embeddingForward(commands, x, weightTensor, upload(ids, [N])));
        // A copy is exact but for the rounding to a narrower type.
        const expected = reference.embeddingForward(weight, ids, C);
        const relative = operand === "f16" ? EPSILON.f16 / 2 : 0;
        assertClose(await read(x), expected, { absolute: 2 ** -24, relative });
      }
    });
  }
}

Deno.test("embedding_backward adds to the rows that were looked up, twice with equal bits", async () => {
  for (const [N, C, V] of shapes) {
    const ids = someIds(3, N, V);
    const before = values(4, V * C);
    const dx = values(5, N * C);
    const dweight = output([V, C]);
    const rows = groupById(ids);
    const tensors = {
      ids: upload(rows.ids, [rows.ids.length]),
      starts: upload(rows.starts, [rows.starts.length]),
      occurrences: upload(rows.occurrences, [N]),
    };
    const upstream = upload(dx, [N, C]);
    const results: Float32Array[] = [];
    for (let i = 0; i < 2; i++) {
      writeTensor(gpu, dweight, before);
      run((commands) => embeddingBackward(commands, dweight, upstream, tensors));
      results.push(await read(dweight));
    }
    const expected = reference.embeddingBackward(before, dx, ids, C);
    // An id's rows are summed one after the other: N roundings of a sum of that size at most.
    assertClose(results[0], expected, { absolute: N * EPSILON.f32 });
    assert.deepEqual(results[1], results[0]);
  }
});

Deno.test("groupById lists every row once, under its id, in order", () => {
  assert.deepEqual(groupById(Uint32Array.of(70000, 2, 9, 2, 70000, 2)), {
    ids: Uint32Array.of(2, 9, 70000),
    starts: Uint32Array.of(0, 3, 4, 6),
    occurrences: Uint32Array.of(1, 3, 5, 2, 0, 4),
  });
  assert.deepEqual(groupById(new Uint32Array(0)).starts, Uint32Array.of(0));
});

Deno.test("an embedding of the wrong width is refused by name", () => {
  const x = output([2, 8]);
  const weight = upload(values(1, 12), [3, 4]);
  assert.throws(
    () => run((commands) => embeddingForward(commands, x, weight, upload(new Uint32Array(2), [2]))),
    { name: "RangeError", message: /embedding_forward: expected weight of shape \(3, 8\)/ },
  );
});
