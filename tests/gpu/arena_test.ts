import assert from "node:assert/strict";
import { layOut } from "../../src/gpu/arena.ts";
import { bindGroupCount } from "../../src/gpu/kernel.ts";
import {
  createTensor,
  destroyTensor,
  label,
  mostTensorBytes,
  part,
  readTensor,
  writeTensor,
} from "../../src/gpu/tensor.ts";
import { convert } from "../../src/kernels/convert.ts";
import { gpu, output, read, run, upload, values } from "../kernels/harness.ts";

const named = (...shapes: number[][]) => shapes.map((shape, i) => ({ name: `t${i}`, shape }));

Deno.test("an arena's tensors begin where f16 and f32 may be bound, in order", () => {
  const align = gpu.device.limits.minStorageBufferOffsetAlignment / 2;
  const tensors = named([1], [align + 1], [4, align], [3]);
  const [layout, ...others] = layOut(gpu, tensors);
  assert.deepEqual(others, []);
  assert.deepEqual(layout.places.map(({ tensor }) => tensor), tensors);
  assert.deepEqual(layout.places.map(({ first }) => first / align), [0, 1, 3, 7]);
  assert.equal(layout.length, 7 * align + 4);
  assert.deepEqual(layOut(gpu, []), []);
});

Deno.test("what the device cannot bind at once is split, what it cannot bind at all is named", () => {
  const most = mostTensorBytes(gpu) / 4;
  const half = Math.floor(most / 2) - 1000;
  const layouts = layOut(gpu, named([half], [most - half - 1000], [half], [5], [2000], [most]));
  const places = layouts.map(({ places }) => places.map(({ tensor }) => tensor.name));
  assert.deepEqual(places, [["t0", "t1"], ["t2", "t3", "t4"], ["t5"]]);
  for (const { length, places: [{ first }] } of layouts) {
    assert.equal(first, 0);
    assert.ok(length <= most);
  }
  assert.throws(() => layOut(gpu, named([3], [most + 4])), /Cannot allocate "t1" \(\d+\) f32/);
});

Deno.test("a part is written and read for itself, and freed with the whole", async () => {
  const align = gpu.device.limits.minStorageBufferOffsetAlignment / 4;
  const whole = createTensor(gpu, "whole", "f32", [3 * align]);
  const taken = gpu.memory.bytes;
  const middle = part(gpu, whole, "middle", align, [5]);
  assert.equal(gpu.memory.bytes, taken, "a part takes nothing");
  assert.equal(label(middle), '"middle" (5) f32');
  writeTensor(gpu, whole, new Float32Array(3 * align).fill(7));
  writeTensor(gpu, middle, values(1, 2), 1);
  const expected = new Float32Array(3 * align).fill(7);
  expected.set(values(1, 2), align + 1);
  assert.deepEqual(await readTensor(gpu, whole), expected);
  assert.deepEqual(await readTensor(gpu, middle, 1), expected.slice(align + 1, align + 5));

  const groups = bindGroupCount(gpu);
  const copy = output([5]);
  run((commands) => {
    convert(commands, copy, middle);
    convert(commands, middle, upload(values(2, 5), [5]));
    commands.clear(part(gpu, whole, "last", 2 * align, [align]));
  });
  assert.deepEqual(await read(copy), expected.slice(align, align + 5));
  const all = await readTensor(gpu, whole);
  assert.deepEqual(all.slice(align, align + 5), values(2, 5));
  assert.deepEqual(all.slice(align + 8, 2 * align), expected.slice(align + 8, 2 * align));
  assert.deepEqual(all.slice(2 * align), new Float32Array(align));
  assert.ok(bindGroupCount(gpu) > groups);
  destroyTensor(gpu, whole);
  assert.equal(bindGroupCount(gpu), groups);
  destroyTensor(gpu, copy);
  assert.throws(() => part(gpu, whole, "odd", 1, [1]), /not aligned or too long/);
  assert.throws(() => part(gpu, whole, "long", align, [2 * align + 1]), /not aligned or too long/);
});
