// This module is browser compatible.
import { Commands } from "../gpu/commands.ts";
import type { DispatchObserver } from "../gpu/encoding.ts";
import type { Readback } from "../gpu/readback.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { type GpuBatch, type HeadGroup, type PackedBatch, uploadBatch } from "../model/batch.ts";
import { topBackward } from "../model/backward.ts";
import { topForward, trunkForward } from "../model/forward.ts";
import { headForwardBackward } from "../model/head.ts";
import { type Model, scoreTensor } from "../model/model.ts";
import { zeroGradients } from "../model/weights.ts";
import { type Optimizer, type OptimizerReport, reportState, update } from "./optimizer.ts";

/** A micro-batch with its loss: preference pairs (src/train/dpo_batch.ts) or plain text (src/train/sft_batch.ts). */
export interface TrainingBatch {
  packed: PackedBatch;
  /** The trunk's output if it was kept from an earlier epoch; else `afterTrunk` may keep it. */
  cachedTrunk(commands: Commands, batch: GpuBatch): Tensor | undefined;
  /** Runs between trunk and top: the reference's top, where its scores are not known yet. */
  afterTrunk(commands: Commands, batch: GpuBatch, trunk: Tensor): void;
  /** Records the loss of a group of sequences: from scores to their derivative. */
  loss(commands: Commands, group: HeadGroup, scores: Tensor, dscore: Tensor): void;
  /** Records what the CPU is to know of it. */
  report(commands: Commands, readback: Readback): void;
}

/**
 * One optimizer step: the gradients of all micro-batches, then the update. The CPU only records; nothing here waits for the
 * GPU.
 *
 * @returns Reads the state after the step, once the readback has been fetched.
 */
export function trainingStep(
  model: Model,
  optimizer: Optimizer,
  microBatches: readonly TrainingBatch[],
  learningRate: number,
  readback: Readback,
  observer?: DispatchObserver,
): () => OptimizerReport {
  const commands = new Commands(model.gpu, observer);
  accumulate(commands, model, microBatches, readback);
  // Machines that train one model together would sum their gradients here.
  update(commands, model.weights, optimizer, learningRate);
  const report = reportState(commands, optimizer, readback);
  commands.submit();
  return report;
}

/** Sets the gradients to zero and adds those of the micro-batches: of each one forward, loss and backward. */
export function accumulate(
  commands: Commands,
  model: Model,
  microBatches: readonly TrainingBatch[],
  readback: Readback,
): void {
  const { gpu, runtime, weights, begin } = model;
  zeroGradients(commands, weights);
  for (const [index, micro] of microBatches.entries()) {
    if (index > 0) commands.submit(); // before its metadata is overwritten
    const batch = uploadBatch(gpu, runtime.workspace, micro.packed);
    const B = batch.sequences.shape[0];
    const scores = scoreTensor(model, "policy scores", B);
    const dscore = runtime.workspace.get("dscore", "f32", [B]);

    // Forward: the frozen trunk, then the layers that train.
    const trunk = micro.cachedTrunk(commands, batch) ??
      trunkForward(commands, runtime, weights, batch, begin);
    micro.afterTrunk(commands, batch, trunk);
    const { activations, y } = topForward(commands, runtime, weights, batch, trunk, begin, true);

    // Loss and backward: the head in one sweep over groups of sequences, then the layers.
    const dx = runtime.workspace.get("dx", "f32", [...y.shape]);
    const loss = (group: HeadGroup) => micro.loss(commands, group, scores, dscore);
    headForwardBackward(commands, runtime, weights, batch, scores, y, loss, dscore, dx);
    topBackward(commands, runtime, weights, batch, activations, begin, dx);

    micro.report(commands, readback);
  }
}
