// This module is browser compatible.
import backwardCode from "../../shaders/swiglu_backward.wgsl" with { type: "text" };
import forwardCode from "../../shaders/swiglu_forward.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { expectDtype, expectMultiple, expectShape, grid, operandType } from "./shapes.ts";

const forwardKernel: Kernel = {
  name: "swiglu_forward",
  code: forwardCode,
  params: { F: "u32", N: "u32" },
  reads: ["gate_up"],
  writes: ["a"],
};

const backwardKernel: Kernel = {
  name: "swiglu_backward",
  code: backwardCode,
  params: { F: "u32", N: "u32" },
  reads: ["da", "gate_up"],
  writes: ["dgate_up"],
};

const WORKGROUP = 256;

/**
 * The gated activation `a = silu(gate) * up` (Shazeer 2020, arXiv:2002.05202).
 *
 * @param a Result, f32 or f16 (N, F).
 * @param gateUp Pre-activations of the same dtype (N, 2F), a row holds gate, then up; F a multiple of 4.
 * @throws {RangeError} If shapes or dtypes disagree.
 */
export function swigluForward(commands: Commands, a: Tensor, gateUp: Tensor): void {
  const [N, F] = a.shape;
  expectMultiple("swiglu_forward", "F", F, 4);
  expectShape("swiglu_forward", "gate_up", gateUp, [N, 2 * F]);
  expectDtype("swiglu_forward", "gate_up", gateUp, a.dtype);
  commands.dispatch(forwardKernel, {
    variant: {
      overrides: { WORKGROUP },
      types: { operand: operandType("swiglu_forward", a) },
    },
    params: { F, N },
    tensors: [gateUp, a],
    workgroups: grid(Math.ceil(N * F / 4 / WORKGROUP)),
  });
}

/**
 * Gradient of {@link swigluForward}.
 *
 * @param dgateUp Result, f32 or f16 (N, 2F).
 * @param da Upstream gradient of the same dtype (N, F).
 * @param gateUp The forward's input, same dtype (N, 2F).
 * @throws {RangeError} If shapes or dtypes disagree.
 */
export function swigluBackward(
  commands: Commands,
  dgateUp: Tensor,
  da: Tensor,
  gateUp: Tensor,
): void {
  const [N, F] = da.shape;
  expectMultiple("swiglu_backward", "F", F, 4);
  for (const [name, tensor] of Object.entries({ gate_up: gateUp, dgate_up: dgateUp })) {
    expectShape("swiglu_backward", name, tensor, [N, 2 * F]);
    expectDtype("swiglu_backward", name, tensor, da.dtype);
  }
  commands.dispatch(backwardKernel, {
    variant: {
      overrides: { WORKGROUP },
      types: { operand: operandType("swiglu_backward", da) },
    },
    params: { F, N },
    tensors: [da, gateUp, dgateUp],
    workgroups: grid(Math.ceil(N * F / 4 / WORKGROUP)),
  });
}
