import assert from "node:assert/strict";
import { Gpu } from "../../src/gpu/device.ts";
import { Commands } from "../../src/gpu/commands.ts";
import { bindGroupCount, type Kernel } from "../../src/gpu/kernel.ts";
import { Profiler } from "../../src/gpu/profiler.ts";
import { Readback } from "../../src/gpu/readback.ts";
import {
  createTensor,
  destroyTensor,
  mostTensorBytes,
  readTensor,
  rowsFrom,
  type Tensor,
  view,
  writeTensor,
} from "../../src/gpu/tensor.ts";
import { Workspace } from "../../src/gpu/workspace.ts";
import { UserError } from "../../src/errors.ts";
import { gpu, openTestGpu, upload, values } from "../kernels/harness.ts";
import { unless } from "../skip.ts";

/** y[i] = x[i] + amount. */
const add: Kernel = {
  name: "add",
  code: `struct Params { length: u32, amount: f32 }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read> x: array<f32>;
    @group(0) @binding(2) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(64) fn add(@builtin(global_invocation_id) id: vec3<u32>) {
      if (id.x < params.length) { y[id.x] = x[id.x] + params.amount; }
    }`,
  params: { length: "u32", amount: "f32" },
  reads: ["x"],
  writes: ["y"],
};

Deno.test("every dispatch of a submit sees its own parameters", async () => {
  const x = upload(values(1, 10), [10]);
  const results = Array.from({ length: 300 }, (_, i) => createTensor(gpu, `y${i}`, "f32", [10]));
  const commands = new Commands(gpu);
  for (const [i, y] of results.entries()) {
    commands.dispatch(add, { params: { length: 10, amount: i }, tensors: [x, y], workgroups: [1] });
  }
  commands.submit();
  const expected = values(1, 10);
  for (const i of [0, 63, 64, 65, 299]) {
    assert.deepEqual(await readTensor(gpu, results[i]), expected.map((value) => value + i));
  }
});

Deno.test("what is remembered is done again with its own sizes, beside others", async () => {
  const x = upload(Float32Array.of(1, 2, 3), [3]);
  const y = createTensor(gpu, "y", "f32", [3]);
  const commands = new Commands(gpu);
  const plus = (amount: number, [from, to]: [Tensor, Tensor]) =>
    commands.dispatch(add, { params: { length: 3, amount }, tensors: [from, to], workgroups: [1] });
  plus(1000, [x, y]); // overwritten
  const recording = commands.record(() => {
    plus(10, [x, y]);
    commands.copy(x, y);
  });
  plus(100, [x, y]);
  commands.copy(x, y);
  commands.replay(recording);
  plus(0.5, [x, y]);
  commands.copy(x, y);
  commands.replay(recording);
  commands.submit();
  assert.deepEqual(Array.from(await readTensor(gpu, x)), [131.5, 132.5, 133.5]);
  assert.throws(() => commands.replay(recording), /before the next submit/);
  plus(1, [x, y]);
  commands.submit();
  assert.deepEqual(Array.from(await readTensor(gpu, y)), [132.5, 133.5, 134.5]);
});

Deno.test("a GPU gets what is recorded in parts, what is done again too", async () => {
  using opened = await openTestGpu();
  const { queue } = opened.device;
  const submit = queue.submit.bind(queue);
  let submits = 0;
  queue.submit = (buffers) => {
    submits++;
    submit(buffers);
  };
  for (const software of [false, true]) { // whatever it is
    const other = new Gpu(opened.device, { ...opened.info, software });
    const [x, y] = ["x", "y"].map((name) => createTensor(other, name, "f32", [3]));
    writeTensor(other, x, Float32Array.of(1, 2, 3));
    const commands = new Commands(other);
    const plus = (amount: number, from: Tensor, to: Tensor) =>
      commands.dispatch(add, {
        params: { length: 3, amount },
        tensors: [from, to],
        workgroups: [1],
      });
    const twice = commands.record(() => {
      plus(0.5, x, y);
      plus(0.25, y, x);
    });
    submits = 0;
    for (let i = 1; i < 170; i++) commands.replay(twice); // 340 dispatches in all, 48 at a time
    assert.equal(submits, software ? 0 : 7);
    plus(1000, x, y); // sizes that come with the last part
    commands.copy(x, y);
    commands.submit();
    assert.equal(submits, software ? 1 : 8);
    assert.deepEqual(Array.from(await readTensor(other, x)), [1128.5, 1129.5, 1130.5]);
  }
});

Deno.test("wrong dispatches are refused where they are made", () => {
  const x = upload(values(1, 10), [10]);
  const y = createTensor(gpu, "y", "f32", [10]);
  const commands = new Commands(gpu);
  const dispatch = (change: object) => () =>
    commands.dispatch(add, {
      params: { length: 10, amount: 1 },
      tensors: [x, y],
      workgroups: [1],
      ...change,
    });
  assert.throws(
    dispatch({ params: { length: 10 } }),
    /expected the parameter "amount", found none/,
  );
  assert.throws(dispatch({ tensors: [x] }), /expected x,y/);
  assert.throws(dispatch({ tensors: [x, view(x, [5])] }), /read or written twice/);
  assert.throws(dispatch({ workgroups: [65536] }), /at most 65535 workgroups/);
});

Deno.test("rows of a tensor can be bound from an aligned row on", async () => {
  const x = upload(values(1, 64 * 3), [3, 64]);
  const y = createTensor(gpu, "y", "f32", [64]);
  const commands = new Commands(gpu);
  commands.dispatch(add, {
    params: { length: 64, amount: 0 },
    tensors: [rowsFrom(gpu, x, 2, 1), y],
    workgroups: [1],
  });
  commands.submit();
  assert.deepEqual(await readTensor(gpu, y), values(1, 64 * 3).slice(128));
  const odd = createTensor(gpu, "odd", "f32", [9, 3]);
  assert.throws(() => rowsFrom(gpu, odd, 1, 1), /not aligned/);
});

Deno.test("a tensor over the adapter's limit is refused in words", () => {
  assert.throws(
    () => createTensor(gpu, "logits", "f32", [2 ** 20, 2 ** 20]),
    (error) =>
      error instanceof UserError && /"logits".*expected at most \d+ MiB/.test(error.message),
  );
});

Deno.test("an odd number of f16 values arrives whole", async () => {
  const tensor = createTensor(gpu, "odd", "f16", [7]);
  writeTensor(gpu, tensor, Float16Array.from([1, 2, 3, 4, 5, 6, 7]));
  assert.deepEqual(Array.from(await readTensor(gpu, tensor)), [1, 2, 3, 4, 5, 6, 7]);
});

Deno.test("a tensor is written in pieces, within its bounds and in whole words", async () => {
  const pieces = createTensor(gpu, "pieces", "f16", [7]);
  writeTensor(gpu, pieces, Float16Array.from([1, 2, 3, 4]));
  writeTensor(gpu, pieces, Float16Array.from([5, 6, 7]), 4);
  writeTensor(gpu, pieces, Float16Array.from([0, 0, 0, 8, 9, 0]).subarray(3, 5), 2);
  assert.deepEqual(Array.from(await readTensor(gpu, pieces)), [1, 2, 8, 9, 5, 6, 7]);
  assert.deepEqual(Array.from(await readTensor(gpu, pieces, 2, 3)), [8, 9, 5]);
  assert.deepEqual(Array.from(await readTensor(gpu, pieces, 4)), [5, 6, 7]);
  const beyond = () => writeTensor(gpu, pieces, new Float16Array(4), 4);
  assert.throws(beyond, /expected at most 3 elements from 4 on, found 4/);
  assert.throws(() => writeTensor(gpu, pieces, new Float16Array(2), 1), /expected whole words/);
});

Deno.test("a readback hands out what tensors held when they were recorded", async () => {
  const x = upload(Float32Array.of(1), [1]);
  const y = createTensor(gpu, "y", "f32", [1]);
  const readback = new Readback(gpu, 64);
  const seen: number[] = [];
  const commands = new Commands(gpu);
  for (const amount of [1, 2, 3]) {
    commands.dispatch(add, { params: { length: 1, amount }, tensors: [x, y], workgroups: [1] });
    readback.record(commands, y, (data) => seen.push(new Float32Array(data)[0]));
  }
  commands.submit();
  assert.deepEqual(seen, []);
  await readback.fetch();
  assert.deepEqual(seen, [2, 3, 4]);
});

Deno.test("a readback takes more than it was made for, before and between others", async () => {
  const readback = new Readback(gpu, 64);
  const round = async (lengths: number[]) => {
    const expected = lengths.map((length, i) => values(i, length));
    const seen: Float32Array[] = [];
    const commands = new Commands(gpu);
    for (const [i, data] of expected.entries()) {
      readback.record(commands, upload(data, [lengths[i]]), (bytes) => {
        seen.push(new Float32Array(bytes));
      });
    }
    commands.submit();
    await readback.fetch();
    assert.deepEqual(seen, expected);
  };
  await round([100, 3, 14, 50, 1]);
  await round([3, 14, 50, 100]);
  assert.ok(readback.fits(4 * 167), "the second time it is one buffer");
  readback.destroy();
});

Deno.test("what could not be read is not handed out by a later call", async () => {
  const readback = new Readback(gpu, 64);
  const seen: number[] = [];
  const record = (value: number) => {
    const commands = new Commands(gpu);
    const tensor = upload(Float32Array.of(value), [1]);
    readback.record(commands, tensor, (data) => seen.push(new Float32Array(data)[0]));
    commands.submit();
  };
  record(1);
  const readBuffer = gpu.readBuffer;
  gpu.readBuffer = () => Promise.reject(new Error("no"));
  try {
    await assert.rejects(readback.fetch(), /no/);
  } finally {
    gpu.readBuffer = readBuffer;
  }
  record(2);
  readback.discard();
  record(3);
  await readback.fetch();
  assert.deepEqual(seen, [3]);
});

Deno.test("bind groups go with the first of their tensors that is freed, in turns too", async () => {
  for (const shares of [false, true]) {
    using other = await openTestGpu();
    if (shares) other.share();
    const [x, ...results] = ["x", "y", "z"].map((name) =>
      createTensor(other, name, "f32", [64, 64])
    );
    const commands = new Commands(other);
    const plus = (from: Tensor, to: Tensor) =>
      commands.dispatch(add, {
        params: { length: 64, amount: 1 },
        tensors: [from, to],
        workgroups: [1],
      });
    const counts: number[] = [];
    for (const y of results) {
      plus(x, y);
      plus(y, x);
      plus(rowsFrom(other, y, 1, 1), x);
      commands.submit();
      if (!shares) counts.push(bindGroupCount(other));
      destroyTensor(other, y);
      await readTensor(other, x);
      counts.push(bindGroupCount(other));
    }
    assert.deepEqual(counts, shares ? [0, 0] : [3, 0, 3, 0]);
  }
});

Deno.test("a workspace that could not grow a tensor makes it anew", () => {
  const workspace = new Workspace(gpu);
  const before = gpu.memory.bytes;
  const most = Math.floor(mostTensorBytes(gpu) / 2 ** 20);
  workspace.get("a", "u32", [1, 2 ** 18]);
  assert.throws(() => workspace.get("a", "u32", [most + 1, 2 ** 18]), UserError);
  assert.equal(gpu.memory.bytes, before);
  const again = workspace.get("a", "u32", [1, 4]);
  writeTensor(gpu, again, Uint32Array.of(1, 2, 3, 4)); // an error in the device, were it the old one
  // Its headroom does not make it too large for the device.
  assert.equal(workspace.get("a", "u32", [most, 2 ** 18]).shape[0], most);
  workspace.release();
  assert.equal(gpu.memory.bytes, before);
});

Deno.test("a workspace grows, and keeps what is large enough", () => {
  const workspace = new Workspace(gpu);
  const small = workspace.get("a", "f32", [10, 4]);
  assert.equal(workspace.get("a", "f32", [8, 4]).storage, small.storage);
  const large = workspace.get("a", "f32", [20, 4]);
  assert.notEqual(large.storage, small.storage);
  assert.deepEqual(large.shape, [20, 4]);
  assert.equal(workspace.get("b", "u32", [4]).dtype, "u32");
  assert.equal(workspace.get("b", "f16", [4]).dtype, "f16", "whatever it held before");
  const other = new Workspace(gpu);
  const before = gpu.memory.bytes;
  other.reserve(workspace);
  other.reserve(workspace);
  other.get("a", "f32", [20, 4]);
  assert.equal(gpu.memory.bytes - before, 25 * 4 * 4 + 16, "as large as in the other one");
  other.release();
  assert.equal(gpu.memory.bytes, before);
  workspace.release();
  assert.ok(gpu.memory.bytes < before);
});

const lackOfTimestamps = gpu.features.timestamps ? null : "the device has no timestamps";

Deno.test({
  ...unless(lackOfTimestamps, "the profiler counts dispatches by kernel"),
  fn: async () => {
    const profiler = new Profiler(gpu);
    const commands = new Commands(gpu, profiler);
    const [x, y] = [upload(values(1, 10), [10]), createTensor(gpu, "y", "f32", [10])];
    for (let i = 0; i < 3; i++) {
      commands.dispatch(add, {
        params: { length: 10, amount: 1 },
        tensors: [x, y],
        workgroups: [1],
      });
    }
    commands.submit();
    await profiler.collect();
    const [{ kernel, dispatches, milliseconds }] = profiler.times();
    assert.deepEqual([kernel, dispatches], ["add", 3]);
    assert.ok(milliseconds >= 0);
  },
});
