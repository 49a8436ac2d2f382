import assert from "node:assert/strict";
import { loadEngine } from "../../src/platform/engine.ts";
import { lackOfDawn, unless } from "../skip.ts";

Deno.test({
  ...unless(lackOfDawn, "Dawn is made with its experimental features"),
  fn: async () => {
    const adapter = await (await loadEngine("dawn")).requestAdapter();
    const names: string[] = [...adapter!.features];
    assert.ok(names.some((name) => name.startsWith("chromium-experimental-")), names.join());
  },
});
