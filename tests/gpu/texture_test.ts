import assert from "node:assert/strict";
import { Commands } from "../../src/gpu/commands.ts";
import type { Kernel } from "../../src/gpu/kernel.ts";
import {
  createTensor,
  destroyTensor,
  readTensor,
  rowsFrom,
  type Tensor,
  view,
  writeTensor,
} from "../../src/gpu/tensor.ts";
import { TEXTURE_WIDTH } from "../../src/gpu/texture.ts";
import { gpu, upload, values } from "../kernels/harness.ts";

/** y = x + amount, with x read as a texture. */
const add: Kernel = {
  name: "add_texels",
  code: `
    struct Params { count: u32, amount: f32 }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var x: x_texels;
    @group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
    @compute @workgroup_size(64)
    fn add_texels(@builtin(global_invocation_id) id: vec3<u32>) {
      if (id.x < params.count) { y[id.x] = textureLoad(x, texel(id.x)) + params.amount; }
    }`,
  params: { count: "u32", amount: "f32" },
  reads: ["x"],
  writes: ["y"],
  textures: ["x"],
};

function record(commands: Commands, y: Tensor, x: Tensor, amount = 0): void {
  const count = Math.ceil(x.shape.reduce((product, size) => product * size) / 4);
  commands.dispatch(add, {
    params: { count, amount },
    tensors: [x, y],
    workgroups: [Math.ceil(count / 64)],
  });
}

const four = (x: number) => Float32Array.of(x, x, x, x);

async function first(tensor: Tensor): Promise<number> {
  return (await readTensor(gpu, tensor))[0];
}

Deno.test("a tensor's texture has its numbers, rows of texels and what is left of one, f32 and f16", async () => {
  const count = 4 * (2 * TEXTURE_WIDTH + 5);
  for (const dtype of gpu.features.f16 ? ["f32", "f16"] as const : ["f32"] as const) {
    const data = values(1, count, dtype);
    const y = createTensor(gpu, "y", "f32", [count]);
    const commands = new Commands(gpu);
    record(commands, y, upload(data, [count], dtype));
    commands.submit();
    assert.deepEqual(await readTensor(gpu, y), data);
  }
});

Deno.test("all textures have the same width, and no height is a power of two", () => {
  const isPower = (size: number) => (size & (size - 1)) === 0;
  for (const rows of [0.1, 1, 2, 3, 4, 7, 8]) {
    const x = createTensor(gpu, "x", "f32", [4 * Math.ceil(rows * TEXTURE_WIDTH)]);
    const commands = new Commands(gpu);
    record(commands, createTensor(gpu, "y", "f32", [...x.shape]), x);
    commands.submit();
    const { width, height } = x.storage.texture!.texture;
    assert.ok(height >= rows && height <= Math.max(3, rows + 1), `${height} rows for ${rows}`);
    assert.deepEqual([width, isPower(height)], [TEXTURE_WIDTH, false]);
  }
});

Deno.test("a texture is renewed whichever way its tensor was written", async () => {
  const [x, y, other] = ["x", "y", "other"].map((name) => createTensor(gpu, name, "f32", [4]));
  const commands = new Commands(gpu);
  const read = async () => {
    record(commands, y, x);
    commands.submit();
    return await first(y);
  };
  writeTensor(gpu, x, four(1));
  assert.equal(await read(), 1);
  writeTensor(gpu, x, four(2));
  assert.equal(await read(), 2);
  record(commands, x, y, 5); // by a dispatch
  assert.equal(await read(), 7);
  writeTensor(gpu, other, four(3));
  commands.copy(x, other);
  assert.equal(await read(), 3);
  commands.clear(x);
  assert.equal(await read(), 0);
});

Deno.test("a texture is renewed where more of its tensor is read than before", async () => {
  const x = upload(values(1, 64), [64]);
  const y = createTensor(gpu, "y", "f32", [64]);
  const commands = new Commands(gpu);
  record(commands, y, view(x, [4]));
  record(commands, y, x);
  commands.submit();
  assert.deepEqual(await readTensor(gpu, y), values(1, 64));
});

Deno.test("rows that are bound apart share what was written", async () => {
  const x = upload(values(1, 128), [2, 64]);
  const y = createTensor(gpu, "y", "f32", [64]);
  const commands = new Commands(gpu);
  const second = rowsFrom(gpu, x, 1, 1);
  record(commands, y, second);
  commands.copy(x, upload(values(2, 128), [2, 64])); // the whole, by its other name
  record(commands, y, second);
  commands.submit();
  assert.deepEqual(await readTensor(gpu, y), values(2, 128).slice(64));
});

Deno.test("a copy that was recorded and never submitted does not count", async () => {
  const [x, y] = ["x", "y"].map((name) => createTensor(gpu, name, "f32", [4]));
  writeTensor(gpu, x, four(1));
  record(new Commands(gpu), y, x); // given up
  const commands = new Commands(gpu);
  record(commands, y, x);
  commands.submit();
  assert.equal(await first(y), 1);
});

Deno.test("a copy made before another's writes were submitted is renewed behind them", async () => {
  const [x, y, one] = ["x", "y", "one"].map((name) => createTensor(gpu, name, "f32", [4]));
  writeTensor(gpu, one, four(1));
  const writer = new Commands(gpu);
  record(writer, x, one, 8);
  const reader = new Commands(gpu);
  record(reader, y, x);
  reader.submit();
  assert.equal(await first(y), 0);
  writer.submit();
  record(reader, y, x);
  reader.submit();
  assert.equal(await first(y), 9);
});

Deno.test("a texture goes with its tensor, and its memory is counted", () => {
  const before = gpu.memory.bytes;
  const [x, y] = ["x", "y"].map((name) => createTensor(gpu, name, "f32", [1000]));
  assert.equal(gpu.memory.bytes - before, 8000);
  const commands = new Commands(gpu);
  record(commands, y, x);
  commands.submit();
  assert.equal(gpu.memory.bytes - before, 8000 + 3 * TEXTURE_WIDTH * 16);
  for (const tensor of [x, y]) destroyTensor(gpu, tensor);
  assert.equal(gpu.memory.bytes, before);
});
