import assert from "node:assert/strict";
import type { Checkpoint } from "../../src/model/load.ts";
import { NonFiniteError, UnavailableError } from "../../src/errors.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { bindGroupCount } from "../../src/gpu/kernel.ts";
import { GREEDY } from "../../src/kernels/sample.ts";
import { LocalServing } from "../../src/serve/local_serving.ts";
import { checkpointTensors } from "../../src/model/params.ts";
import { openTestGpu } from "../kernels/harness.ts";
import { adaptedCheckpoint } from "../model/small_adapters.ts";
import {
  brokenCheckpoint,
  randomCheckpoint,
  randomPairs,
  smallConfig,
} from "../model/small_models.ts";

const options = { precision: "f32", slots: 2, positions: 64, cacheRows: 128 } as const;
const sound = randomCheckpoint(smallConfig(), 3);

/** A checkpoint as a model's files are opened; `files` counts those that are open. */
const files = { open: 0 };
const opens = (checkpoint: Checkpoint) => () => {
  files.open++;
  return Promise.resolve({ ...checkpoint, [Symbol.dispose]: () => void files.open-- });
};

const request = (prompt: number[], maxNewTokens = 4) => ({
  prompt,
  maxNewTokens,
  sampling: GREEDY,
  stopIds: [],
});

/** A device that loses itself in a moment, as a driver's reset does. */
const lose = (gpu: Gpu) => gpu.device.destroy();

Deno.test("a lost device fails what is in work, and is opened again with its models by itself", async () => {
  const opened = [await openTestGpu()];
  const outages: (string | null)[] = [];
  let over = Promise.withResolvers<void>();
  let failures = 2;
  const serving = new LocalServing(opened[0], options, {
    async openDevice() {
      if (failures-- > 0) throw new Error(`no adapter, ${failures} more times`);
      opened.push(await openTestGpu());
      return opened.at(-1)!;
    },
    onOutage(outage) {
      outages.push(outage);
      if (outage === null) over.resolve();
    },
    firstPauseMs: 1,
  });
  await serving.add("first", opens(sound));
  await serving.add("second", opens(randomCheckpoint(smallConfig(), 5)));
  const ask = () =>
    Promise.all(["first", "second"].map((model) => serving.generate(model, request([1, 2, 3]))));
  const before = await ask();
  const scores = await serving.score("first", randomPairs(1, 2, 113));

  for (const round of [1, 2]) {
    over = Promise.withResolvers();
    outages.length = 0;
    const inWork = Promise.allSettled([
      ...Array.from({ length: 5 }, () => serving.generate("first", request([4, 5], 50))),
      serving.promptLogprobs("second", [1, 2, 3], 1),
      serving.score("second", randomPairs(1, 2, 113)),
    ]);
    lose(opened.at(-1)!);
    for (const answer of await inWork) {
      assert.ok(answer.status === "rejected");
      assert.ok(answer.reason instanceof UnavailableError, `${answer.reason?.stack}`);
      assert.match(
        answer.reason.message,
        /^The GPU was lost \(.*\): it is opened again .* ask again shortly$/,
      );
    }
    assert.match(serving.outage!, /^The GPU was lost \(/);
    await assert.rejects(serving.generate("first", request([1])), UnavailableError);
    await over.promise;
    assert.equal(serving.outage, null);
    assert.equal(outages.at(-1), null);
    if (round === 1) {
      assert.match(
        outages[1]!,
        /^The GPU was lost .*could not be opened again: no adapter, 1 more/,
      );
      assert.match(outages[2]!, /no adapter, 0 more/);
    }
    assert.deepEqual(await ask(), before);
    assert.deepEqual(await serving.score("first", randomPairs(1, 2, 113)), scores);
  }
  assert.equal(opened.length, 3);
  assert.equal(files.open, 0);
  serving.close();
});

Deno.test("a device that nobody opens again stays failed, and says so", async () => {
  const gpu = await openTestGpu();
  const serving = new LocalServing(gpu, options);
  await serving.add("model", opens(sound));
  gpu.fail(new Error("out of memory"));
  await assert.rejects(serving.generate("model", request([1])), {
    name: "UnavailableError",
    message: "The GPU failed (out of memory): restart the server",
  });
  await assert.rejects(serving.add("other", opens(sound)), UnavailableError);
  assert.equal(serving.outage, "The GPU failed (out of memory)");
  serving.close();
});

Deno.test("a server that is closed opens no device any more", async () => {
  const opened = [await openTestGpu()];
  const { promise: tried, resolve } = Promise.withResolvers<void>();
  const serving = new LocalServing(opened[0], options, {
    openDevice() {
      opened.push(opened[0]);
      resolve();
      return Promise.reject(new Error("none"));
    },
    onOutage() {},
    firstPauseMs: 60_000,
  });
  lose(opened[0]);
  await tried;
  await Promise.resolve();
  serving.close(); // ends the pause: a timer left behind would fail this test
  assert.equal(opened.length, 2);
});

Deno.test("models that come and go, or fail to come, leave nothing on the device", async () => {
  using gpu = await openTestGpu();
  const serving = new LocalServing(gpu, options);
  await serving.add("stays", opens(sound));
  await serving.generate("stays", request([1, 2, 3]));
  const state = () => ({ bytes: gpu.memory.bytes, groups: bindGroupCount(gpu), open: files.open });
  const before = state();
  assert.ok(before.groups > 0);
  const breaksOff: Checkpoint = {
    ...sound,
    async *read(name) {
      if (name === "model.norm.weight") throw new Error("a broken file");
      yield* sound.read(name);
    },
  };
  for (let i = 0; i < 3; i++) {
    await serving.add("comes", opens(sound));
    await serving.generate("comes", request([1, 2, 3]));
    await serving.promptLogprobs("comes", [1, 2, 3], 1);
    await serving.score("comes", randomPairs(i, 3, 113));
    await serving.removeModel("comes");
    assert.deepEqual(state(), before);
    await assert.rejects(serving.add("breaks off", opens(breaksOff)), /a broken file/);
    await assert.rejects(serving.add("not finite", opens(brokenCheckpoint(0))), NonFiniteError);
    assert.deepEqual(state(), before);
  }
  assert.deepEqual(serving.models.map(({ name }) => name), ["stays"]);
});

Deno.test("pairs that the device cannot compute together are refused", async () => {
  using gpu = await openTestGpu();
  const wide = smallConfig({
    hidden_size: 8,
    num_hidden_layers: 1,
    num_attention_heads: 1,
    num_key_value_heads: 1,
    intermediate_size: 65_536,
    max_position_embeddings: 2048,
  });
  const serving = new LocalServing(gpu, { ...options, positions: 2048 });
  await serving.add("wide", opens(randomCheckpoint(wide, 3)));
  const most = Math.floor(gpu.device.limits.maxStorageBufferBindingSize / (4 * 2 * 65_536));
  const ids = Uint32Array.from({ length: most + 1 }, (_, i) => i % 113);
  const side = { ids, promptLength: 1 };
  await assert.rejects(
    serving.score("wide", [{ index: 5, chosen: side, rejected: side }]),
    (error: Error) => error.name === "UserError" && /found \d+ in row 5/.test(error.message),
  );
});

Deno.test("adapters share the weights of their model, which stay as long as one of them does", async () => {
  const device = await openTestGpu();
  const serving = new LocalServing(device, options);
  const all = { "lora-r": 3, "lora-target-modules": "all-linear" };
  const adapter = adaptedCheckpoint(sound, all);
  const base = { name: "base", identity: () => Promise.resolve({ config: "c", weights: "w" }) };
  const whole = () => Promise.resolve({ ...sound, ...base, [Symbol.dispose]() {} });
  const adapted = () =>
    Promise.resolve({ ...adapter, adapted: { ...adapter.adapted, base }, [Symbol.dispose]() {} });
  const bytes = () => device.memory.bytes;
  const ask = async (model: string) => (await serving.generate(model, request([1, 2, 3], 12))).ids;

  await serving.add("merged", adapted);
  const merged = await ask("merged");
  await serving.removeModel("merged");
  const none = bytes();
  await serving.add("base", whole);
  const ofBase = bytes() - none;
  const answer = await ask("base");
  assert.notDeepEqual(answer, merged);
  await serving.add("first", adapted);
  await serving.add("second", adapted);
  const ofAdapters = bytes() - none - ofBase;
  const weights = 4 * checkpointTensors(sound.config)
    .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b), 0);
  assert.ok(ofAdapters < 2 * (ofBase - weights) + weights, `${ofAdapters} of ${ofBase} bytes`);
  assert.deepEqual(await ask("first"), merged);
  assert.deepEqual(await ask("base"), answer);

  await serving.removeModel("base");
  assert.deepEqual(await ask("second"), merged, "its weights are still there");
  await serving.removeModel("second");
  await serving.removeModel("first");
  assert.equal(bytes(), none);
  serving.close();
});
