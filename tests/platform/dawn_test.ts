import assert from "node:assert/strict";
import { loadEngine } from "../../src/platform/engine.ts";

Deno.test({
  name: "Dawn is made with its experimental features",
  // an optional dependency: .ci/run asks for it
  ignore: Deno.env.get("SMOLDPO_ENGINE") !== "dawn",
  fn: async () => {
    const adapter = await (await loadEngine("dawn")).requestAdapter();
    const names: string[] = [...adapter!.features];
    assert.ok(names.some((name) => name.startsWith("chromium-experimental-")), names.join());
  },
});
