import assert from "node:assert/strict";
import { deviceInWords, featuresInWords, openDevice } from "../../src/cli/device.ts";
import { MemoryOutput } from "./output.ts";

Deno.test("the device of a command beside other work shares its thread, any other has it to itself", async () => {
  const engine = Deno.env.get("SMOLDPO_ENGINE") === "dawn" ? "dawn" : "deno";
  const flags = { engine, adapter: null, precision: "auto" } as const;
  const context = { stdout: new MemoryOutput(), stderr: new MemoryOutput() };
  using alone = (await openDevice(flags, context))!.gpu;
  assert.equal(alone.turns, undefined);
  using shared = (await openDevice(flags, { ...context, sharesThread: true }))!.gpu;
  assert.notEqual(shared.turns, undefined);
});

Deno.test("the device line names the engine, what the device offers and the precision with its reason", async () => {
  const engine = Deno.env.get("SMOLDPO_ENGINE") === "dawn" ? "dawn" : "deno";
  const flags = { engine, adapter: null, precision: "f32" } as const;
  const device = await openDevice(flags, {
    stdout: new MemoryOutput(),
    stderr: new MemoryOutput(),
  });
  using gpu = device!.gpu;
  const { description } = gpu.info;
  const offered = featuresInWords(gpu.features);
  assert.equal(
    deviceInWords(device!),
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
