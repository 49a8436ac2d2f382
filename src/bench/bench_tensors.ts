// This module is browser compatible.
import type { Gpu } from "../gpu/device.ts";
import {
  createTensor,
  destroyTensor,
  type Dtype,
  elementCount,
  type Tensor,
  writeTensor,
} from "../gpu/tensor.ts";
import type { Operand } from "../kernels/shapes.ts";

/** A tensor and what it holds, rounded as the GPU sees it, for the check against double precision. */
export interface Filled {
  tensor: Tensor;
  data: Float32Array;
}

const BLOCK = 65537; // a prime: rows of no width repeat

/** Tensors of one benchmark, filled with noise (zeros would be faster than real data on some GPUs) and freed together. */
export class BenchTensors {
  #tensors: Tensor[] = [];
  #noise = Float32Array.from({ length: BLOCK }, noise(42));

  /** @param precision Of GEMM operands. */
  constructor(readonly gpu: Gpu, readonly precision: Operand) {}

  /** A GEMM operand full of noise in [-scale, scale). */
  operand(shape: number[], scale = 1): Filled {
    return this.#fill(this.precision, shape, scale);
  }

  /** f32 noise in [-scale, scale). */
  f32(shape: number[], scale = 1): Filled {
    return this.#fill("f32", shape, scale);
  }

  /** Whole numbers as they are. */
  u32(shape: number[], data: Uint32Array): Tensor {
    const tensor = this.zeros("u32", shape);
    writeTensor(this.gpu, tensor, data);
    return tensor;
  }

  zeros(dtype: Dtype, shape: number[]): Tensor {
    const tensor = createTensor(this.gpu, "bench", dtype, shape);
    this.#tensors.push(tensor);
    return tensor;
  }

  release(): void {
    for (const tensor of this.#tensors.splice(0)) destroyTensor(this.gpu, tensor);
  }

  #fill(dtype: Operand, shape: number[], scale: number): Filled {
    const tensor = this.zeros(dtype, shape);
    const count = elementCount(shape);
    const block = this.#noise.map((value) => value * scale);
    const half = dtype === "f16" ? Float16Array.from(block) : undefined;
    if (half) block.set(half);
    const data = repeated(block, new Float32Array(count));
    writeTensor(this.gpu, tensor, half ? repeated(half, new Float16Array(count)) : data);
    return { tensor, data };
  }
}

function repeated<A extends Float32Array | Float16Array>(block: A, target: A): A {
  for (let i = 0; i < target.length; i += BLOCK) {
    target.set(block.subarray(0, target.length - i) as never, i);
  }
  return target;
}

/** Numbers in [-1, 1) from a linear congruential generator (Numerical Recipes' constants): noise, no more. */
export function noise(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}
