import assert from "node:assert/strict";
import { openDevice } from "../../src/cli/device.ts";
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
