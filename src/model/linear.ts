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
import { swigluForward } from "../kernels/swiglu.ts";
import type { LowRank } from "./low_rank.ts";
import { biasName } from "./params.ts";
import type { Parameter, Weights } from "./weights.ts";

/**
 * A linear layer, y = x W^T, or x W^T + b, or either with adapters: the one place that knows what it is made of, for training and
 * for decoding.
 */
export class Linear {
  /**
   * @param weight (N, K), as checkpoints store it.
   * @param bias (N), where there is one.
   * @param adapter Where the matrix has some.
   */
  constructor(
    readonly weight: Parameter,
    readonly bias?: Parameter,
    readonly adapter?: LowRank,
  ) {}

  /** y = x W^T (+ b) (+ residual); see matmulForward. */
  forward(commands: Commands, y: Tensor, x: Tensor, residual?: Tensor): void {
    const frozen = (y: Tensor) =>
      matmulForward(commands, y, x, this.weight.operand, { bias: this.bias?.operand, residual });
    if (this.adapter) this.adapter.forward(commands, y, x, frozen);
    else frozen(y);
  }

  /** a = silu(gate) * up;  gate, up = x W^T (+ b); see matmulGated. */
  forwardGated(commands: Commands, a: Tensor, gateUp: Tensor, x: Tensor, keep: boolean): void {
    if (this.adapter) {
      this.forward(commands, gateUp, x);
      swigluForward(commands, a, gateUp);
      return;
    }
    matmulGated(commands, a, gateUp, x, this.weight.operand, { bias: this.bias?.operand, keep });
  }

  /** {@link forward} of a few rows; see matvecForward. */
  decode(commands: Commands, y: Tensor, x: Tensor, fused: Omit<Fused, "bias" | "gated">): void {
    const frozen = (y: Tensor) =>
      matvecForward(commands, y, x, this.weight.operand, { bias: this.bias?.operand, ...fused });
    if (this.adapter) this.adapter.decode(commands, y, x, fused.norm, frozen);
    else frozen(y);
  }

  /** {@link forwardGated} of a few rows; gateUp is scratch. */
  decodeGated(commands: Commands, a: Tensor, gateUp: Tensor, x: Tensor, norm: Fused["norm"]): void {
    if (this.adapter) {
      this.decode(commands, gateUp, x, { norm });
      swigluForward(commands, a, gateUp);
      return;
    }
    const bias = this.bias?.operand;
    matvecForward(commands, a, x, this.weight.operand, { bias, norm, gated: true });
  }

  /** dx = dy W; see matmulBackwardInput. */
  backwardInput(commands: Commands, dx: Tensor, dy: Tensor, parts?: Tensor): void {
    const frozen = (dx: Tensor) =>
      matmulBackwardInput(commands, dx, dy, this.weight.operand, parts);
    if (this.adapter) this.adapter.backwardInput(commands, dx, dy, frozen);
    else frozen(dx);
  }

  /**
   * The gradients of what trains, added to those before: dW += dy^T x, and db += the sum of dy's rows; see matmulBackwardWeight
   * and biasBackward. After {@link backwardInput}.
   */
  backwardWeight(commands: Commands, dy: Tensor, x: Tensor): void {
    if (this.weight.gradient) matmulBackwardWeight(commands, this.weight.gradient, dy, x);
    if (this.bias?.gradient) biasBackward(commands, this.bias.gradient, dy);
    this.adapter?.backwardWeight(commands, dy, x);
  }
}

/** The linear layer whose matrix has this name in the table of parameters, with its bias if the table has that. */
export function linearOf({ parameters }: Weights, name: string, adapter?: LowRank): Linear {
  return new Linear(parameters.get(name)!, parameters.get(biasName(name)), adapter);
}
