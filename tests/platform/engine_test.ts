import assert from "node:assert/strict";
import { Commands } from "../../src/gpu/commands.ts";
import { openGpu } from "../../src/gpu/device.ts";
import { Readback } from "../../src/gpu/readback.ts";
import { createTensor, writeTensor } from "../../src/gpu/tensor.ts";
import { loadEngine, mapsWithinCall } from "../../src/platform/engine.ts";
import { unless } from "../skip.ts";

const lack = mapsWithinCall("deno")
  ? null
  : `Deno ${Deno.version.deno} is not known to map within mapAsync`;

Deno.test({
  ...unless(lack, "a buffer that was mapped before is mapped within mapAsync: every read is fresh"),
  fn: async () => {
    const gpu = await openGpu(await loadEngine("deno"), { mapsWithinCall: true });
    const readback = new Readback(gpu, 64);
    const tensor = createTensor(gpu, "counter", "u32", [4]);
    let timers = 0;
    const timer = setInterval(() => timers++, 1);
    const began = performance.now();
    for (let i = 0; i < 240 || timers === 0; i++) {
      writeTensor(gpu, tensor, Uint32Array.of(i, 2 * i));
      const commands = new Commands(gpu);
      let found: number[] = [];
      readback.record(commands, tensor, (data) => found = [...new Uint32Array(data, 0, 2)]);
      commands.submit();
      await readback.fetch();
      assert.deepEqual(found, [i, 2 * i]);
      assert.ok(performance.now() - began < 60_000, "timers had no turn");
    }
    clearInterval(timer);
    gpu.close();
  },
});

Deno.test({
  ...unless(lack, "reading from a lost device says so, within mapAsync too"),
  fn: async () => {
    const gpu = await openGpu(await loadEngine("deno"), { mapsWithinCall: true });
    const readback = new Readback(gpu, 64);
    const tensor = createTensor(gpu, "counter", "u32", [4]);
    const read = async () => {
      const commands = new Commands(gpu);
      readback.record(commands, tensor, () => {});
      commands.submit();
      await readback.fetch();
    };
    await read();
    gpu.device.destroy();
    await assert.rejects(read, /the device was lost|destroyed/);
  },
});
