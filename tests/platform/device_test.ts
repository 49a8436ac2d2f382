import assert from "node:assert/strict";
import { openDevice } from "../../src/platform/device.ts";
import { deviceInWords, factsOf, featuresInWords } from "../../src/report/words.ts";

Deno.test("the device of a command beside other work shares its thread, any other has it to itself", async () => {
  const engine = Deno.env.get("SMOLDPO_ENGINE") === "dawn" ? "dawn" : "deno";
  const flags = { engine, adapter: null, precision: "auto" } as const;
  const say = () => {};
  using alone = (await openDevice(flags, { say })).gpu;
  assert.equal(alone.turns, undefined);
  using shared = (await openDevice(flags, { say, sharesThread: true })).gpu;
  assert.notEqual(shared.turns, undefined);
});

Deno.test("the device line names the engine, what the device offers and the precision with its reason", async () => {
  const engine = Deno.env.get("SMOLDPO_ENGINE") === "dawn" ? "dawn" : "deno";
  const flags = { engine, adapter: null, precision: "f32" } as const;
  const device = await openDevice(flags, { say: () => {} });
  using gpu = device.gpu;
  const { description } = gpu.info;
  const offered = featuresInWords(gpu.features);
  assert.equal(
    deviceInWords(factsOf(device)),
    `${description} (engine ${engine}; ${offered}), f32: you asked for it`,
  );
});

Deno.test("features in words", () => {
  const features = { f16: true, subgroups: false, timestamps: true };
  assert.equal(featuresInWords(features), "with f16, timestamps");
  assert.equal(
    featuresInWords({ f16: false, subgroups: false, timestamps: false }),
    "without optional features",
  );
});
