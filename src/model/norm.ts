// This module is browser compatible.
import type { Commands } from "../gpu/commands.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { qkNormBackward, qkNormBackwardWeight, qkNormForward } from "../kernels/qk_norm.ts";
import type { Heads } from "../kernels/heads.ts";
import { rmsnormBackward, rmsnormBackwardWeight, rmsnormForward } from "../kernels/rmsnorm.ts";
import type { Parameter, Weights } from "./weights.ts";

/** Root-mean-square normalization of the residual stream with a learned gain; see rmsnormForward. */
export class Norm {
  /** @param weight The gain (C). */
  constructor(readonly weight: Parameter, readonly eps: number) {}

  /** y = rmsnorm(x), and what the backward pass needs of it. */
  forward(commands: Commands, y: Tensor, rstd: Tensor, x: Tensor): void {
    rmsnormForward(commands, y, rstd, x, this.weight.operand, this.eps);
  }

  /** Adds the gradient with respect to x to dx. */
  backwardInput(commands: Commands, dx: Tensor, dy: Tensor, x: Tensor, rstd: Tensor): void {
    rmsnormBackward(commands, dx, dy, x, this.weight.operand, rstd);
  }

  /** Adds the gradient of the gain to its own, where it trains. */
  backwardWeight(commands: Commands, dy: Tensor, x: Tensor, rstd: Tensor): void {
    const { gradient } = this.weight;
    if (gradient) rmsnormBackwardWeight(commands, gradient, dy, x, rstd);
  }
}

/** So too of each query head and each key head; see qkNormForward. */
export class QkNorm {
  /** @param weight The gains of query heads and of key heads (2 HS). */
  constructor(readonly weight: Parameter, readonly heads: Heads, readonly eps: number) {}

  /** q, k of qkv = qknorm(q), qknorm(k) of projected, and v as it is. */
  forward(commands: Commands, qkv: Tensor, rstd: Tensor, projected: Tensor): void {
    qkNormForward(commands, qkv, rstd, projected, this.weight.operand, this.heads, this.eps);
  }

  /** Turns the gradient of qkv into that of projected, in place. */
  backwardInput(commands: Commands, dqkv: Tensor, projected: Tensor, rstd: Tensor): void {
    qkNormBackward(commands, dqkv, projected, this.weight.operand, rstd, this.heads);
  }

  /** Adds the gradient of the gains to their own, where they train. */
  backwardWeight(commands: Commands, dqkv: Tensor, projected: Tensor, rstd: Tensor): void {
    const { gradient } = this.weight;
    if (gradient) qkNormBackwardWeight(commands, gradient, dqkv, projected, rstd, this.heads);
  }
}

/** The norm whose gain has this name in the table of parameters. */
export function normOf({ parameters, config }: Weights, name: string): Norm {
  return new Norm(parameters.get(name)!, config.rmsNormEps);
}
