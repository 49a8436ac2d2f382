// This module is browser compatible.
import type { Commands } from "../gpu/commands.ts";
import type { Tensor } from "../gpu/tensor.ts";
import {
  matmulBackwardInput,
  matmulBackwardWeight,
  matmulForward,
  matmulGated,
} from "../kernels/matmul.ts";
import { type Fused, matvecForward } from "../kernels/matvec.ts";
import type { Parameter, Weights } from "./weights.ts";

/** A linear layer, y = x W^T: the one place that knows what it is made of, for training and for decoding. */
export class Linear {
  /** @param weight (N, K), as checkpoints store it. */
  constructor(readonly weight: Parameter) {}

  /** y = x W^T (+ residual); see matmulForward. */
  forward(commands: Commands, y: Tensor, x: Tensor, residual?: Tensor): void {
    matmulForward(commands, y, x, this.weight.operand, residual);
  }

  /** a = silu(gate) * up;  gate, up = x W^T; see matmulGated. */
  forwardGated(commands: Commands, a: Tensor, gateUp: Tensor, x: Tensor, keep: boolean): void {
    matmulGated(commands, a, gateUp, x, this.weight.operand, keep);
  }

  /** {@link forward} or {@link forwardGated} of a few rows; see matvecForward. */
  decode(commands: Commands, y: Tensor, x: Tensor, fused?: Fused): void {
    matvecForward(commands, y, x, this.weight.operand, fused);
  }

  /** dx = dy W; see matmulBackwardInput. */
  backwardInput(commands: Commands, dx: Tensor, dy: Tensor, parts?: Tensor): void {
    matmulBackwardInput(commands, dx, dy, this.weight.operand, parts);
  }

  /** dW += dy^T x, where the layer trains; see matmulBackwardWeight. */
  backwardWeight(commands: Commands, dy: Tensor, x: Tensor): void {
    const { gradient } = this.weight;
    if (gradient) matmulBackwardWeight(commands, gradient, dy, x);
  }
}

/** The linear layer whose matrix has this name in the table of parameters. */
export function linearOf({ parameters }: Weights, name: string): Linear {
  return new Linear(parameters.get(name)!);
}
