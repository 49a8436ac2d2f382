// This module is browser compatible.
/**
 * Tensors that lie side by side in few buffers, the arenas: what does the same to all of them takes one command for each
 * arena; what needs one of them binds its part of the buffer.
 *
 * @module
 */
import type { Gpu } from "./device.ts";
import { checkTensor, elementCount, mostTensorBytes } from "./tensor.ts";

/** Where the tensors of an arena lie, whatever the type of its elements. */
export interface Layout<T> {
  /** In order; `first` is the tensor's first element. */
  places: { tensor: T; first: number }[];
  /** Elements, gaps included. */
  length: number;
}

const F32_BYTES = 4, F16_BYTES = 2;

/**
 * Lays out tensors one behind the other, in as few arenas as the device can bind. Each begins where a binding may begin.
 *
 * @param tensors Of f32 or f16.
 * @throws {UserError} If the adapter cannot bind one of them at f32.
 */
export function layOut<T extends { name: string; shape: readonly number[] }>(
  gpu: Gpu,
  tensors: readonly T[],
): Layout<T>[] {
  const { minStorageBufferOffsetAlignment } = gpu.device.limits;
  const step = Math.max(4, minStorageBufferOffsetAlignment / F16_BYTES);
  const most = mostTensorBytes(gpu) / F32_BYTES;
  const layouts: Layout<T>[] = [];
  for (const tensor of tensors) {
    checkTensor(gpu, tensor.name, "f32", tensor.shape);
    const length = Math.ceil(elementCount(tensor.shape) / 4) * 4;
    let layout = layouts.at(-1);
    let first = layout ? Math.ceil(layout.length / step) * step : 0;
    if (!layout || first + length > most) {
      layouts.push(layout = { places: [], length: 0 });
      first = 0;
    }
    layout.places.push({ tensor, first });
    layout.length = first + length;
  }
  return layouts;
}
