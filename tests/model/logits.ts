/** All logits of a model on a sequence, which no command gives. */
import { packSequences } from "../../src/dpo/pack.ts";
import { type Checkpoint, loadModel } from "../../src/model/load.ts";
import { Commands } from "../../src/gpu/commands.ts";
import { readTensor } from "../../src/gpu/tensor.ts";
import { paddedColumns } from "../../src/kernels/matmul.ts";
import { uploadBatch } from "../../src/model/batch.ts";
import { topForward, trunkForward } from "../../src/model/forward.ts";
import { headForward } from "../../src/model/head.ts";
import { type Model, scoreTensor } from "../../src/model/model.ts";
import { gpu } from "../kernels/harness.ts";

/** The logits after each token, (T, V), through this project's shaders, of a checkpoint at f32. */
export async function logitsOf(checkpoint: Checkpoint, ids: number[]): Promise<number[]> {
  return await modelLogits(
    await loadModel(gpu, checkpoint, { precision: "f32", positions: 64 }),
    ids,
  );
}

/** {@link logitsOf} of a loaded model. */
export async function modelLogits(model: Model, ids: number[]): Promise<number[]> {
  const { runtime, weights } = model;
  // The head computes rows that predict a token, so one more token follows.
  const sequence = { ids: Uint32Array.from([...ids, 0]), promptLength: 1 };
  const packing = { scope: "all", weight: 1, chunkRows: runtime.headRows } as const;
  const batch = uploadBatch(gpu, runtime.workspace, packSequences([sequence], packing));
  const commands = new Commands(gpu);
  const trunk = trunkForward(commands, runtime, weights, batch, 0);
  const { y } = topForward(commands, runtime, weights, batch, trunk, 0, false);
  headForward(commands, runtime, weights, batch, scoreTensor(model, "scores", 1), y);
  commands.submit();
  const { vocabSize } = weights.config;
  const stride = paddedColumns(vocabSize);
  const shape = [runtime.headRows, stride];
  const logits = await readTensor(gpu, runtime.workspace.get("head logits", "f32", shape));
  return ids.flatMap((_, t) => [...logits.subarray(t * stride, t * stride + vocabSize)]);
}
