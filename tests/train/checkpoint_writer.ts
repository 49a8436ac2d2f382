/**
 * Saves checkpoints as fast as it can until it is killed: the process that `checkpoint_test.ts` kills.
 *
 * @module
 */
import { openCheckpointStorage } from "../../src/platform/checkpoint_storage.ts";
import { openLatestCheckpoint, saveCheckpoint } from "../../src/train/checkpoint.ts";

const storage = await openCheckpointStorage(Deno.args[0]);
const latest = await openLatestCheckpoint(storage, (message) => console.log(`warning ${message}`));
latest?.close();
console.log(`resumed ${latest?.step ?? 0}`);
for (let step = latest?.step ?? 0;; step++) {
  const data = new Float32Array(20_000).fill(step);
  await saveCheckpoint(
    storage,
    step,
    { tensors: [{ name: "w", shape: [data.length], data }], state: { step } },
    2,
  );
  console.log(`saved ${step}`);
}
