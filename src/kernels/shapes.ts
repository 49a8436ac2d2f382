// This module is browser compatible.
import { type Dtype, label, type Tensor } from "../gpu/tensor.ts";

/** The type GEMM operands are stored in: f16 halves the traffic where the device has it. Sums are always f32. */
export type Operand = "f32" | "f16";

/**
 * Checks a tensor against the shape a kernel expects.
 *
 * @throws {RangeError} If the shape differs.
 */
export function expectShape(kernel: string, name: string, tensor: Tensor, shape: number[]): void {
  if (
    tensor.shape.length !== shape.length || tensor.shape.some((size, axis) => size !== shape[axis])
  ) {
    throw new RangeError(
      `${kernel}: expected ${name} of shape (${shape.join(", ")}), found ${label(tensor)}`,
    );
  }
}

/** Checks the dtype of a tensor. */
export function expectDtype(kernel: string, name: string, tensor: Tensor, dtype: Dtype): void {
  if (tensor.dtype !== dtype) {
    throw new RangeError(`${kernel}: expected ${name} in ${dtype}, found ${label(tensor)}`);
  }
}

/** Checks a size that a kernel takes in steps of `factor`. */
export function expectMultiple(kernel: string, name: string, size: number, factor: number): void {
  if (size % factor !== 0) {
    throw new RangeError(
      `${kernel}: expected ${name} to be a multiple of ${factor}, found ${size}`,
    );
  }
}

/** The dtype of a tensor that holds GEMM operands. */
export function operandType(kernel: string, tensor: Tensor): Operand {
  if (tensor.dtype === "u32") {
    throw new RangeError(`${kernel}: expected f32 or f16, found ${label(tensor)}`);
  }
  return tensor.dtype;
}

/** Workgroups in two dimensions for `count` of them, since one dimension ends at 65,535. */
export function grid(count: number): [number, number] {
  const y = Math.ceil(count / 65535);
  return [Math.ceil(count / Math.max(1, y)), y];
}
