/**
 * Every shader, as kernels put it together for each kind of device, through Tint, Dawn's compiler: f16 too, whatever the
 * adapter has. The device computes nothing.
 */
import assert from "node:assert/strict";
import { loadEngine } from "../../src/platform/engine.ts";
import { everyShader } from "../recorded/record.ts";
import { lackOfDawn, unless } from "../skip.ts";

Deno.test({
  ...unless(lackOfDawn, "Tint accepts every shader"),
  async fn() {
    const gpu = await loadEngine("dawn", ["backend=null"]);
    const adapter = await gpu.requestAdapter();
    const device = await adapter!.requestDevice({
      requiredFeatures: ["shader-f16", "subgroups" as GPUFeatureName],
    });
    const errorsOf = async (code: string) => {
      device.pushErrorScope("validation");
      const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
      const error = await device.popErrorScope();
      const texts = messages.filter(({ type }) => type === "error")
        .map(({ lineNum, message }) => `${lineNum}: ${message}`);
      assert.equal(texts.length > 0, error !== null);
      return texts;
    };
    for (const [variant, code] of await everyShader("dawn")) {
      assert.deepEqual(await errorsOf(code), [], variant);
    }
    assert.match((await errorsOf("fn f() -> u32 { return 1.5; }"))[0], /^1: /);
    device.destroy();
  },
});
