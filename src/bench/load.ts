// This module is browser compatible.
import type { Gpu } from "../gpu/device.ts";
import type { Operand } from "../kernels/shapes.ts";
import type { ModelSource } from "../model/directory.ts";
import { loadWeights } from "../model/load_weights.ts";
import { releaseWeights } from "../model/weights.ts";
import { median } from "./timing.ts";

export interface LoadSpeed {
  /** Data types in the files. */
  dtypes: string[];
  /** Of weights, in the files. */
  fileBytes: number;
  /** From opening the files until the last weight is on the device. */
  milliseconds: number;
}

const REPETITIONS = 5;

/** How long a model takes from files that the system has in its cache to the device. */
export async function benchLoad(
  gpu: Gpu,
  precision: Operand,
  open: () => Promise<ModelSource>,
): Promise<LoadSpeed> {
  const times: number[] = [];
  let stored: { dtype: string; begin: number; end: number }[] = [];
  for (let i = 0; i <= REPETITIONS; i++) {
    const begin = performance.now();
    const source = await open();
    const weights = await loadWeights(gpu, source.config, source.readChunks, { precision });
    await gpu.device.queue.onSubmittedWorkDone();
    if (i > 0) times.push(performance.now() - begin); // the first one fills the system's cache
    stored = [...source.tensors.values()];
    source.close();
    releaseWeights(gpu, weights);
  }
  return {
    dtypes: [...new Set(stored.map(({ dtype }) => dtype))],
    fileBytes: stored.reduce((sum, { begin, end }) => sum + end - begin, 0),
    milliseconds: median(times),
  };
}
