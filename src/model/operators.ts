// This module is browser compatible.
/**
 * How a decoder layer computes its linear layers with what stands before and behind them. The layer is written once
 * (layerForward), and these are handed to it: with many rows each operator is a kernel of its own, with few ones the norm
 * and the gated activation ride along with the products.
 *
 * @module
 */
import type { Commands } from "../gpu/commands.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Linear } from "./linear.ts";
import type { Norm } from "./norm.ts";

/** Rows on their way into a linear layer, which has yet to normalize them where there is a norm. */
export interface Input {
  rows: Tensor;
  norm?: Norm;
}

/** Results come first, as they do in the kernels' wrappers. */
export interface Operators {
  /** rmsnorm(x), perhaps in h and rstd. */
  norm(norm: Norm, h: Tensor, rstd: Tensor, x: Tensor): Input;
  /** y = input W^T (+ residual). */
  linear(linear: Linear, y: Tensor, input: Input, residual?: Tensor): void;
  /** a = silu(gate) * up;  gate, up = input W^T, perhaps in gateUp. */
  gated(linear: Linear, a: Tensor, gateUp: Tensor, input: Input): void;
}

/**
 * Of training, scoring and prefilling.
 *
 * @param keep Whether a backward pass follows, which reads gateUp.
 */
export function forManyRows(commands: Commands, keep: boolean): Operators {
  return {
    norm(norm, h, rstd, x) {
      norm.forward(commands, h, rstd, x);
      return { rows: h };
    },
    linear: (linear, y, { rows }, residual) => linear.forward(commands, y, rows, residual),
    gated: (linear, a, gateUp, { rows }) => linear.forwardGated(commands, a, gateUp, rows, keep),
  };
}

/** Of decoding, which waits for launches rather than for arithmetic: 5 of them in a layer instead of 10. */
export function forFewRows(commands: Commands): Operators {
  const fused = (norm?: Norm) => norm && { gain: norm.weight.operand, eps: norm.eps };
  return {
    norm: (norm, _h, _rstd, x) => ({ rows: x, norm }),
    linear: (linear, y, { rows, norm }, residual) =>
      linear.decode(commands, y, rows, { norm: fused(norm), residual }),
    gated: (linear, a, gateUp, { rows, norm }) =>
      linear.decodeGated(commands, a, gateUp, rows, fused(norm)),
  };
}
