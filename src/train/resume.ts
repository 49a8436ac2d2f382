// This module is browser compatible.
import { UserError } from "../errors.ts";
import type { NamedTensor } from "../formats/safetensors.ts";
import { readTensor, readTensorU32, type Tensor, writeTensor } from "../gpu/tensor.ts";
import type { Model } from "../model/model.ts";
import { restoreMasters, trainedParameters } from "../model/weights.ts";
import type { Checkpoint, CheckpointContent } from "./checkpoint.ts";
import type { Optimizer } from "./optimizer.ts";

/**
 * Everything that a run needs to go on bit for bit: trained weights, both moments, and the optimizer's state with the loss
 * scale. The order of the data follows from seed and step, so there is no generator to save.
 *
 * The tensors are read back when they are written: until then no step may be taken.
 *
 * @param fingerprint What must be the same when the run is resumed: options and data.
 */
export async function checkpointContent(
  { gpu, weights }: Model,
  optimizer: Optimizer,
  fingerprint: Record<string, unknown>,
): Promise<CheckpointContent> {
  const tensors: NamedTensor[] = [];
  // Read back one by one, as they are written.
  const add = (name: string, tensor: Tensor) => {
    tensors.push({ name, shape: [...tensor.shape], data: () => readTensor(gpu, tensor) });
  };
  for (const { spec, master } of trainedParameters(weights)) {
    const { m, v } = optimizer.moments.get(spec.name)!;
    add(spec.name, master);
    add(`${spec.name}.m`, m);
    add(`${spec.name}.v`, v);
  }
  const optimizerState = Array.from(await readTensorU32(gpu, optimizer.state));
  return { tensors, state: { optimizerState, fingerprint } };
}

/**
 * Puts a model and its optimizer into the state that {@link checkpointContent} saved.
 *
 * @throws {UserError} If the checkpoint is from a run with other options or data; the message names the first difference.
 */
export async function restoreCheckpoint(
  { gpu, weights }: Model,
  optimizer: Optimizer,
  checkpoint: Checkpoint,
  fingerprint: Record<string, unknown>,
): Promise<void> {
  const saved = checkpoint.state.fingerprint as Record<string, unknown>;
  for (const [name, value] of Object.entries(fingerprint)) {
    if (JSON.stringify(saved?.[name]) === JSON.stringify(value)) continue;
    throw new UserError(
      `Cannot resume: expected ${name} ${
        JSON.stringify(saved?.[name])
      } as in the checkpoint, found ${
        JSON.stringify(value)
      }: give the options and data of the interrupted run`,
    );
  }
  for (const { spec } of trainedParameters(weights)) {
    const { m, v } = optimizer.moments.get(spec.name)!;
    writeTensor(gpu, m, await checkpoint.readFloat32(`${spec.name}.m`));
    writeTensor(gpu, v, await checkpoint.readFloat32(`${spec.name}.v`));
  }
  await restoreMasters(gpu, weights, (name) => checkpoint.readFloat32(name));
  writeTensor(gpu, optimizer.state, Uint32Array.from(checkpoint.state.optimizerState as number[]));
}
