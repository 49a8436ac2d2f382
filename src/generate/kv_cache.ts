// This module is browser compatible.
import type { Tensor } from "../gpu/tensor.ts";
import type { Model } from "../model/model.ts";

/** Bytes that the cache of several sequences may take; a single one may take more. */
const BUDGET_BYTES = 2 ** 30;

/**
 * Keys and values of the tokens of several sequences, by layer: operand (rows, 2 NKV HS). The buffers belong to the model's
 * workspace, so calls of about the same size share them.
 */
export function kvCache(model: Model, rows: number): Tensor[] {
  const { config, precision } = model.weights;
  return Array.from(
    { length: config.numLayers },
    (_, layer) =>
      model.runtime.workspace.get(`kv cache ${layer}`, precision, [rows, rowElements(model)]),
  );
}

/** Tokens that a cache can hold: in one buffer of this device, and within a gigabyte of memory. */
export function mostCacheRows(model: Model): { inOneBuffer: number; inBudget: number } {
  const { config, precision } = model.weights;
  const { maxBufferSize, maxStorageBufferBindingSize } = model.gpu.device.limits;
  const rowBytes = rowElements(model) * (precision === "f16" ? 2 : 4);
  const inOneBuffer = Math.floor(Math.min(maxBufferSize, maxStorageBufferBindingSize) / rowBytes);
  const inBudget = Math.floor(BUDGET_BYTES / rowBytes / config.numLayers);
  return { inOneBuffer, inBudget: Math.min(inOneBuffer, inBudget) };
}

function rowElements({ weights: { config } }: Model): number {
  return 2 * config.numKvHeads * config.headSize;
}
