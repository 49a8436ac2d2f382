// This module is browser compatible.
import type { Commands } from "../gpu/commands.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { biasBackward } from "../kernels/bias.ts";
import {
  matmulBackwardInput,
  matmulBackwardWeight,
  matmulForward,
  matmulGated,
} from "../kernels/matmul.ts";
import { type Fused, matvecForward } from "../kernels/matvec.ts";
import { biasName } from "./params.ts";
import type { Parameter, Weights } from "./weights.ts";

/** A linear layer, y = x W^T, or x W^T + b: the one place that knows what it is made of, for training and for decoding. */
export class Linear {
  /**
   * @param weight (N, K), as checkpoints store it.
   * @param bias (N), where there is one.
   */
  constructor(readonly weight: Parameter, readonly bias?: Parameter) {}

  /** y = x W^T (+ b) (+ residual); see matmulForward. */
  forward(commands: Commands, y: Tensor, x: Tensor, residual?: Tensor): void {
    matmulForward(commands, y, x, this.weight.operand, { bias: this.bias?.operand, residual });
  }

  /** a = silu(gate) * up;  gate, up = x W^T (+ b); see matmulGated. */
  forwardGated(commands: Commands, a: Tensor, gateUp: Tensor, x: Tensor, keep: boolean): void {
    matmulGated(commands, a, gateUp, x, this.weight.operand, { bias: this.bias?.operand, keep });
  }

  /** {@link forward} or {@link forwardGated} of a few rows; see matvecForward. */
  decode(commands: Commands, y: Tensor, x: Tensor, fused?: Omit<Fused, "bias">): void {
    matvecForward(commands, y, x, this.weight.operand, { bias: this.bias?.operand, ...fused });
  }

  /** dx = dy W; see matmulBackwardInput. */
  backwardInput(commands: Commands, dx: Tensor, dy: Tensor, parts?: Tensor): void {
    matmulBackwardInput(commands, dx, dy, this.weight.operand, parts);
  }

  /** dW += dy^T x and db += the sum of dy's rows, where they train; see matmulBackwardWeight and biasBackward. */
  backwardWeight(commands: Commands, dy: Tensor, x: Tensor): void {
    if (this.weight.gradient) matmulBackwardWeight(commands, this.weight.gradient, dy, x);
    if (this.bias?.gradient) biasBackward(commands, this.bias.gradient, dy);
  }
}

/** The linear layer whose matrix has this name in the table of parameters, with its bias if the table has that. */
export function linearOf({ parameters }: Weights, name: string): Linear {
  return new Linear(parameters.get(name)!, parameters.get(biasName(name)));
}
