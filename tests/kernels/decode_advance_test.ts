import assert from "node:assert/strict";
import { createTensor, readTensorU32 } from "../../src/gpu/tensor.ts";
import { decodeAdvance } from "../../src/kernels/decode_advance.ts";
import { gpu, run, upload } from "./harness.ts";

const B = 70; // more than a workgroup has
const u32 = (value: (i: number) => number, count = B) =>
  Uint32Array.from({ length: count }, (_, i) => value(i));

Deno.test("decode_advance notes the tokens and moves every place one on", async () => {
  const steps = 3;
  const history = createTensor(gpu, "history", "u32", [B, steps]);
  const places = {
    positions: upload(u32((b) => 5 + b), [B]),
    lengths: upload(u32((i) => i % 2 === 0 ? 50 * i : i, 2 * B), [B, 2]),
  };
  run((commands) => {
    for (let step = 0; step < steps - 1; step++) {
      const next = upload(u32((b) => 1000 * (step + 1) + b), [B]);
      decodeAdvance(commands, history, next, places, step);
    }
  });
  assert.deepEqual(
    await readTensorU32(gpu, history),
    u32((i) => [1000, 2000, -Math.floor(i / 3)][i % 3] + Math.floor(i / 3), B * steps),
  );
  assert.deepEqual(await readTensorU32(gpu, places.positions), u32((b) => 7 + b));
  assert.deepEqual(
    await readTensorU32(gpu, places.lengths),
    u32((i) => i % 2 === 0 ? 50 * i : i + 2, 2 * B),
  );
});

Deno.test("decode_advance refuses a column that history does not have", () => {
  const one = () => upload(u32(() => 0, 1), [1]);
  const places = { positions: one(), lengths: upload(u32(() => 0, 2), [1, 2]) };
  const history = createTensor(gpu, "history", "u32", [1, 2]);
  assert.throws(
    () => run((commands) => decodeAdvance(commands, history, one(), places, 2)),
    /^RangeError: decode_advance: expected a step below 2, found 2/,
  );
});
