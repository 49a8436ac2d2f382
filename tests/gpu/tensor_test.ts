import assert from "node:assert/strict";
import { readTensor } from "../../src/gpu/tensor.ts";
import { gpu, upload, values } from "../kernels/harness.ts";

/** Buffers that a piece of work makes. */
async function buffersMade(work: () => Promise<void>): Promise<number> {
  const { device } = gpu;
  let made = 0;
  device.createBuffer = (descriptor) => {
    made++;
    return GPUDevice.prototype.createBuffer.call(device, descriptor);
  };
  try {
    await work();
  } finally {
    Reflect.deleteProperty(device, "createBuffer");
  }
  return made;
}

Deno.test("reads one after the other go through the same buffer, reads at the same time through their own", async () => {
  const data = Array.from({ length: 5 }, (_, i) => values(i, 1000 + i));
  const tensors = data.map((numbers) => upload(numbers, [numbers.length]));
  await readTensor(gpu, tensors[0]);
  const made = await buffersMade(async () => {
    for (const [i, tensor] of tensors.entries()) {
      assert.deepEqual(await readTensor(gpu, tensor), data[i]);
    }
  });
  assert.equal(made, 0);
  assert.deepEqual(await Promise.all(tensors.map((tensor) => readTensor(gpu, tensor))), data);
  const large = values(9, 2 ** 19);
  assert.deepEqual(await readTensor(gpu, upload(large, [large.length])), large);
  assert.deepEqual(await readTensor(gpu, tensors[1], 3, 5), data[1].slice(3, 8));
});
