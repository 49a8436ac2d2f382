// This module is browser compatible.
import type { Gpu } from "./device.ts";
import {
  bytesOf,
  createTensor,
  destroyTensor,
  type Dtype,
  elementCount,
  mostTensorBytes,
  type Tensor,
  view,
} from "./tensor.ts";

/**
 * Scratch tensors by name, kept between steps and grown when a batch needs more. Between two submits no name
 * may ask for more than before: commands that are already recorded use the old buffer.
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
    if (found) this.#free(name, found); // forgotten first: what comes next may fail
    const tensor = createTensor(this.gpu, name, dtype, found ? this.#roomy(dtype, shape) : shape);
    this.#tensors.set(name, tensor);
    return view(tensor, shape);
  }

  /** Makes all tensors that another workspace has, as large as they are there. */
  reserve(other: Workspace): void {
    for (const [name, { dtype, shape }] of other.#tensors) this.get(name, dtype, [...shape]);
  }

  /** Frees all tensors; those that are asked for again are made again. */
  release(): void {
    for (const [name, tensor] of this.#tensors) this.#free(name, tensor);
  }

  #free(name: string, tensor: Tensor): void {
    this.#tensors.delete(name);
    destroyTensor(this.gpu, tensor);
  }

  /** Some headroom, where the device has it: batches differ by a few tokens, and a new buffer means new bind groups. */
  #roomy(dtype: Dtype, [rows, ...columns]: number[]): number[] {
    const rowBytes = bytesOf(dtype, columns);
    const most = Math.floor(mostTensorBytes(this.gpu) / rowBytes);
    return [Math.max(rows, Math.min(Math.ceil(rows * 1.25), most)), ...columns];
  }
}
