// This module is browser compatible.
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { byteLength } from "../gpu/tensor.ts";
import { paddedColumns } from "../kernels/matmul.ts";
import { deviceClass } from "../kernels/tuning.ts";
import { headParameter } from "../model/head.ts";
import type { Model } from "../model/model.ts";
import type { Weights } from "../model/weights.ts";

/** Bytes that a training run will need on the GPU. */
export interface MemoryPlan {
  /** Allocated already: weights, gradients, moments, reference, trunk cache. */
  allocated: number;
  /** Kept of each layer that trains, for the backward pass, and scratch. */
  activations: number;
  /** A chunk of the head: logits and gathered rows. */
  head: number;
  /** Copies of operands as textures, which some devices read them from; see src/gpu/texture.ts. */
  textures: number;
  total: number;
}

/**
 * What the largest batch of a run will need, found out before the first step.
 *
 * @param batchTokens Tokens of the largest micro-batch.
 * @param units Sizes in tokens of what a batch is made of (pairs or rows), to say what would fit.
 * @throws {UserError} If a buffer would be larger than the adapter can bind; the message says what would fit.
 */
export function planMemory(
  { gpu, weights, begin, runtime }: Model,
  batchTokens: number,
  units: readonly number[],
): MemoryPlan {
  const { hiddenSize: C, intermediateSize: F, numLayers, vocabSize: V } = weights.config;
  const { numHeads, numKvHeads, headSize } = weights.config;
  const operandBytes = weights.precision === "f16" ? 2 : 4;
  const qkv = (numHeads + 2 * numKvHeads) * headSize;
  const kept = 4 * (2 * C + 2 + numHeads) + operandBytes * (qkv + numHeads * headSize + 2 * F);
  const scratch = 4 * (4 * C + numHeads) +
    operandBytes * (2 * C + 2 * F + qkv + 2 * F + numHeads * headSize);
  const textures = {
    kept: operandBytes * (qkv + numHeads * headSize) + 4 * numHeads,
    scratch: 4 * (C + numHeads) + operandBytes * (C + 3 * F + qkv + numHeads * headSize),
    headRow: 4 * paddedColumns(V) + operandBytes * C,
  };
  const plan = {
    allocated: gpu.memory.bytes,
    activations: batchTokens * (kept * (numLayers - begin) + scratch),
    head: runtime.headRows * (4 * (paddedColumns(V) + 2 * C) + 2 * operandBytes * C),
    textures: deviceClass(gpu) !== "lanes" ? 0 : batchTokens *
        (textures.kept * (numLayers - begin) + textures.scratch) +
      runtime.headRows * textures.headRow + weightTextures(weights),
  };
  checkLargest(gpu, batchTokens, Math.max(4 * C, operandBytes * Math.max(qkv, 2 * F)), units);
  return { ...plan, total: plan.allocated + plan.activations + plan.head + plan.textures };
}

/** Bytes of all matrices, those that train twice: the reference has its own. */
function weightTextures(weights: Weights): number {
  const matrices = [...weights.parameters.values()].filter(({ spec: { kind } }) =>
    kind === "matrix"
  );
  return [...matrices, headParameter(weights)].reduce(
    (sum, { operand, master }) => sum + byteLength(operand) * (master ? 2 : 1),
    0,
  );
}

function checkLargest(
  gpu: Gpu,
  batchTokens: number,
  rowBytes: number,
  units: readonly number[],
): void {
  const { maxBufferSize, maxStorageBufferBindingSize } = gpu.device.limits;
  const limit = Math.min(maxBufferSize, maxStorageBufferBindingSize);
  if (batchTokens * rowBytes <= limit) return;
  const tokens = Math.floor(limit / rowBytes);
  const descending = [...units].sort((a, b) => b - a);
  let fitting = 0;
  for (let sum = 0; sum + descending[fitting] <= tokens; fitting++) sum += descending[fitting];
  throw new UserError(
    `Expected batches of at most ${tokens} tokens, for "${gpu.info.description}" binds ${
      Math.floor(limit / 2 ** 20)
    } MiB at once, found one of ${batchTokens}: ` +
      (fitting > 0
        ? `--per-device-train-batch-size ${fitting} fits`
        : "lower --max-length, not even one row fits"),
  );
}

/** Tokens of the largest batch of `size` units. */
export function largestBatch(units: readonly number[], size: number): number {
  return [...units].sort((a, b) => b - a).slice(0, size).reduce((sum, count) => sum + count, 0);
}

/** Bytes in all. */
export function totalInWords({ total }: MemoryPlan): string {
  return `${Math.ceil(total / 2 ** 20)} MiB`;
}

/** The plan in a line. */
export function planInWords({ allocated, activations, head, textures, total }: MemoryPlan): string {
  const mib = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  return `${mib(total)}: weights and optimizer ${mib(allocated)}, activations ${
    mib(activations)
  }, head ${mib(head)}${textures ? `, textures ${mib(textures)}` : ""}`;
}
