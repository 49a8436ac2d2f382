// This module is browser compatible.
import type { Gpu } from "./device.ts";
import {
  createTensor,
  destroyTensor,
  type Dtype,
  elementCount,
  type Tensor,
  view,
} from "./tensor.ts";

/**
 * Scratch tensors by name, kept between steps and grown when a batch needs more. A name asked for again between two submits
 * must not need more than before: the old buffer is gone.
 */
export class Workspace {
  #tensors = new Map<string, Tensor>();

  constructor(readonly gpu: Gpu) {}

  /** A tensor with undefined content. */
  get(name: string, dtype: Dtype, shape: number[]): Tensor {
    const found = this.#tensors.get(name);
    if (found && found.dtype === dtype && elementCount(found.shape) >= elementCount(shape)) {
      return view(found, shape);
    }
    if (found) destroyTensor(this.gpu, found);
    // Some headroom over what was asked for: batches differ by a few tokens, and a new buffer means new bind groups.
    const rows = found ? Math.ceil(shape[0] * 1.25) : shape[0];
    const tensor = createTensor(this.gpu, name, dtype, [rows, ...shape.slice(1)]);
    this.#tensors.set(name, tensor);
    return view(tensor, shape);
  }

  release(): void {
    for (const tensor of this.#tensors.values()) destroyTensor(this.gpu, tensor);
    this.#tensors.clear();
  }
}
