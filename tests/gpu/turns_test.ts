import assert from "node:assert/strict";
import { startDpo } from "../../src/train/training.ts";
import { Commands } from "../../src/gpu/commands.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import type { Kernel } from "../../src/gpu/kernel.ts";
import {
  createTensor,
  destroyTensor,
  readTensor,
  type Tensor,
  view,
  writeTensor,
} from "../../src/gpu/tensor.ts";
import { nextEvents, type TurnOptions } from "../../src/gpu/turns.ts";
import { gpu, openTestGpu } from "../kernels/harness.ts";
import {
  options,
  randomCheckpoint,
  randomPairs,
  smallConfig,
  trainAll,
} from "../model/small_models.ts";

/** y = factor * y + x: the order of what is done shows in the result. */
const chain = (name: string): Kernel => ({
  name,
  code: `struct Params { factor: f32 }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read> x: array<f32>;
    @group(0) @binding(2) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(1) fn ${name}() { y[0] = params.factor * y[0] + x[0]; }`,
  params: { factor: "f32" },
  reads: ["x"],
  writes: ["y"],
});
const [first, second] = ["first", "second"].map(chain);

function record(commands: Commands, kernel: Kernel, tensors: Tensor[], factor = 1): void {
  commands.dispatch(kernel, { params: { factor }, tensors, workgroups: [1] });
}

/** Every dispatch is a part, and every part a turn. */
const SMALLEST: TurnOptions = { partMs: 0, shortestTurnMs: 0, longestTurnMs: 0 };

async function sharedGpu(turns: TurnOptions): Promise<Gpu> {
  const shared = await openTestGpu();
  shared.share(turns);
  return shared;
}

Deno.test("a command that fails is told once, and costs nothing of what came before and behind it", async () => {
  using shared = await sharedGpu(SMALLEST);
  const [x, y, freed] = ["x", "y", "freed"].map((name) => createTensor(shared, name, "f32", [4]));
  writeTensor(shared, x, Float32Array.of(1, 0, 0, 0));
  const commands = new Commands(shared);
  record(commands, first, [x, y]);
  record(commands, first, [view(y, [4]), y]); // reads what it writes: found when it is encoded
  record(commands, first, [x, y], 10);
  commands.submit();
  destroyTensor(shared, freed);
  await assert.rejects(readTensor(shared, y), /read or written twice/);
  assert.deepEqual([...await readTensor(shared, y, 0, 1)], [11]);
});

/** Work of the thread that never ends; @returns what ends it. */
function others(turn: () => void): () => void {
  let goesOn = true;
  (async () => {
    while (goesOn) {
      turn();
      await nextEvents();
    }
  })();
  return () => goesOn = false;
}

/** Writes, dispatches, copies, clears and freed tensors in an order of which everything counts. */
async function inOrder(gpu: Gpu): Promise<number[]> {
  const [x, y, kept, source] = ["x", "y", "kept", "source"].map((name) =>
    createTensor(gpu, name, "f32", [4])
  );
  const commands = new Commands(gpu);
  const words = Float32Array.of(1, 0, 0, 0);
  writeTensor(gpu, x, words);
  record(commands, first, [x, y], 2);
  record(commands, first, [x, y], 3);
  commands.copy(kept, y);
  record(commands, first, [x, y], 5);
  commands.submit();
  words[0] = 7;
  writeTensor(gpu, x, words);
  words[0] = 8; // too late to count
  record(commands, first, [x, y], 11);
  commands.submit();
  writeTensor(gpu, source, Float32Array.of(13, 0, 0, 0));
  commands.copy(x, source);
  commands.submit();
  destroyTensor(gpu, source);
  record(commands, first, [x, y], 17);
  commands.clear(x);
  commands.submit();
  const results = await Promise.all([y, kept, x].map((tensor) => readTensor(gpu, tensor, 0, 1)));
  return results.map(([value]) => value);
}

Deno.test("work in turns is done in the order in which it was given", async () => {
  const expected = [((4 * 5 + 1) * 11 + 7) * 17 + 13, 4, 0];
  assert.deepEqual(await inOrder(gpu), expected);
  using shared = await sharedGpu(SMALLEST);
  assert.deepEqual(await inOrder(shared), expected);
});

Deno.test("training in the smallest turns has the bits of training alone, and ends though others never do", async () => {
  const checkpoint = randomCheckpoint(smallConfig(), 1);
  const pairs = randomPairs(2, 6, checkpoint.config.vocabSize, 30);
  const all = options("train", {
    "batch-size": 2,
    "gradient-accumulation-steps": 2,
    "max-steps": 3,
    "learning-rate": 1e-3,
    "max-length": 64,
  });
  const run = async (gpu: Gpu) => {
    const training = await startDpo(gpu, checkpoint, null, pairs, all, "f32");
    const before = await training.evaluate(pairs);
    return { before, ...await trainAll(training, pairs.length, all) };
  };
  const alone = await run(gpu);
  assert.equal(alone.metrics.length, 3);
  using shared = await sharedGpu(SMALLEST);
  let turns = 0;
  const stop = others(() => turns++);
  const between = await run(shared);
  stop();
  assert.deepEqual(between, alone);
  assert.ok(turns > 100, `others had ${turns} turns`);
});

/**
 * Simulates dispatches that last a millisecond each, besides others whose turns last as long as told.
 *
 * @returns What was done: numbers of dispatches of each part, and "others" for a turn of theirs.
 */
async function simulate(
  kernels: Kernel[],
  othersMs: number,
  turns: TurnOptions,
): Promise<(number | "others")[]> {
  let clock = 0;
  using shared = await sharedGpu({ ...turns, now: () => clock });
  const { device } = shared;
  const createEncoder = device.createCommandEncoder.bind(device);
  let dispatches = 0;
  device.createCommandEncoder = () => {
    const encoder = createEncoder();
    const begin = encoder.beginComputePass.bind(encoder);
    encoder.beginComputePass = () => {
      const pass = begin();
      const dispatch = pass.dispatchWorkgroups.bind(pass);
      pass.dispatchWorkgroups = (...size) => {
        dispatch(...size);
        dispatches++;
        clock++;
      };
      return pass;
    };
    return encoder;
  };
  const done: (number | "others")[] = [];
  shared.map = () => { // engines differ in whether others have their turn meanwhile
    done.push(dispatches);
    dispatches = 0;
    return Promise.resolve(new ArrayBuffer(4));
  };
  const tensors = ["x", "y"].map((name) => createTensor(shared, name, "f32", [4]));
  const commands = new Commands(shared);
  for (const kernel of kernels) record(commands, kernel, tensors);
  commands.submit();
  const stop = others(() => {
    if (done.length === 0) return; // before the work began
    done.push("others");
    clock += othersMs;
  });
  await shared.turns!.finish();
  stop();
  return done;
}

const times = (count: number, kernel: Kernel) => Array.from({ length: count }, () => kernel);

Deno.test("parts grow to the length they should have, and end where a kernel is compiled", async () => {
  const kernels = [...times(30, first), second, ...times(20, first)];
  const forever = { shortestTurnMs: 1000 };
  assert.deepEqual(await simulate(kernels, 0, { partMs: 10, ...forever }), [
    ...[1, 2, 4, 8, 10, 6], // 5 of the first kernel, and the second's first
    ...[10, 10],
  ]);
});

Deno.test("a turn lasts as long as the others had before it, within bounds", async () => {
  const turns = { partMs: 1, shortestTurnMs: 2, longestTurnMs: 6 };
  const turnsOf = (othersMs: number) => simulate(times(12, first), othersMs, turns);
  const [one, wait] = [1, "others"] as const;
  assert.deepEqual(await turnsOf(0), Array(6).fill([one, one, wait]).flat());
  assert.deepEqual(await turnsOf(4), [
    ...[one, one, wait],
    ...[one, one, one, one, wait],
    ...[one, one, one, one, wait],
    ...[one, one],
  ]);
  assert.deepEqual(await turnsOf(100), [
    ...[one, one, wait],
    ...[one, one, one, one, one, one, wait],
    ...[one, one, one, one],
  ]);
});
