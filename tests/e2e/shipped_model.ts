/** The shipped model on this process's GPU, for appWith and workshop of served.ts. */
import { openStoredModel } from "../../src/platform/models.ts";
import { LocalWorker } from "../../src/platform/serving/local_worker.ts";
import { gpu } from "../kernels/harness.ts";
import { MODEL, NAMES } from "../routes/served.ts";

export const serving = new LocalWorker(gpu, {
  precision: "f32",
  slots: 4,
  positions: 128,
  cacheRows: 512,
});
for (const name of NAMES) await serving.add(name, () => openStoredModel(MODEL));

/** What serves, trains and evaluates. */
export const shipped = { host: serving, worker: serving };
