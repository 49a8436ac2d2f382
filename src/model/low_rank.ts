// This module is browser compatible.
import type { Commands } from "../gpu/commands.ts";
import { type Tensor, view } from "../gpu/tensor.ts";
import type { Workspace } from "../gpu/workspace.ts";
import { loraGather, loraSpread, loraTurn, type Spread } from "../kernels/lora.ts";
import {
  matmulBackwardInput,
  matmulBackwardWeight,
  matmulForward,
  paddedColumns,
} from "../kernels/matmul.ts";
import { type Fused, matvecForward } from "../kernels/matvec.ts";
import { adaptedSpans, adapterName, adapterScale } from "./adapter.ts";
import type { Parameter, Weights } from "./weights.ts";

/** Columns of the scratch that all adapters of a model share: of inputs and results, and between the two matrices. */
interface Widths {
  wide: number;
  narrow: number;
}

const known = new WeakMap<Weights["parameters"], Widths>();

function widthsOf({ parameters }: Weights): Widths {
  let widths = known.get(parameters);
  if (widths) return widths;
  widths = { wide: 0, narrow: 0 };
  for (const { spec } of parameters.values()) {
    const a = parameters.get(adapterName(spec.name, "A"));
    if (!a) continue;
    widths.wide = Math.max(widths.wide, ...spec.shape);
    widths.narrow = Math.max(widths.narrow, paddedColumns(a.spec.shape[0]));
  }
  known.set(parameters, widths);
  return widths;
}

/** Bytes of the widest scratch of adapters for a token; 0 without any. */
export function adapterRowBytes(weights: Weights): number {
  return 4 * widthsOf(weights).wide;
}

/** Scratch of adapters for N tokens: made before any layer asks for less of it. */
export function adapterScratch(
  { workspace }: { workspace: Workspace },
  weights: Weights,
  N: number,
) {
  const { wide, narrow } = widthsOf(weights);
  if (wide === 0) return null;
  const get = (name: string, rows: number, columns: number) =>
    workspace.get(`adapter ${name}`, "f32", [rows, columns]);
  return {
    /** What the frozen matrix gives, (N, wide). */
    base: get("base", N, wide),
    /** Between the two matrices, and its gradient, (N, narrow). */
    between: get("between", N, narrow),
    dbetween: get("dbetween", N, narrow),
    /** B as an operand and its gradient, and A turned, (wide, narrow). */
    spread: get("spread", wide, narrow),
    dspread: get("dspread", wide, narrow),
    turned: get("turned", wide, narrow),
  };
}

/**
 * The adapters of a (stacked) matrix: s (x A^T) B^T is added to what the frozen matrix gives. Their first matrices are one
 * product, and so are their second ones, spread over the rows of the stack.
 */
export class LowRank {
  /**
   * @param a f32 (parts r, K).
   * @param b f32 (sum of the parts' rows, r).
   * @param size Of the frozen matrix, (N, K).
   */
  constructor(
    readonly a: Parameter,
    readonly b: Parameter,
    readonly size: readonly number[],
    readonly placed: Spread,
    readonly runtime: { workspace: Workspace },
    readonly weights: Weights,
  ) {}

  /** Scratch in the shapes of this matrix, for so many rows of x. */
  #scratch(rows: number) {
    const [N, K] = this.size;
    const narrow = paddedColumns(this.a.spec.shape[0]);
    const whole = adapterScratch(this.runtime, this.weights, rows)!;
    return {
      y: view(whole.base, [rows, N]),
      dx: view(whole.base, [rows, K]),
      between: view(whole.between, [rows, narrow]),
      dbetween: view(whole.dbetween, [rows, narrow]),
      spread: view(whole.spread, [N, narrow]),
      dspread: view(whole.dspread, [N, narrow]),
      turned: view(whole.turned, [K, narrow]),
    };
  }

  /**
   * y = base + s (x A^T) B^T.
   *
   * @param base Computes what the frozen matrix gives, f32 (M, N).
   */
  forward(commands: Commands, y: Tensor, x: Tensor, base: (y: Tensor) => void): void {
    const { y: residual, between, spread } = this.#scratch(x.shape[0]);
    base(residual);
    matmulForward(commands, between, x, this.a.operand);
    loraSpread(commands, spread, this.b.operand, this.placed);
    matmulForward(commands, y, between, spread, { residual });
  }

  /** {@link forward} of a few rows, which are normalized first where there is a norm. */
  decode(
    commands: Commands,
    y: Tensor,
    x: Tensor,
    norm: Fused["norm"],
    base: (y: Tensor) => void,
  ): void {
    const { y: residual, between, spread } = this.#scratch(x.shape[0]);
    base(residual);
    matvecForward(commands, between, x, this.a.operand, { norm });
    loraSpread(commands, spread, this.b.operand, this.placed);
    matvecForward(commands, y, between, spread, { residual });
  }

  /**
   * dx = base + s (dy B) A. What it leaves in scratch {@link backwardWeight} reads, which follows for the same matrix.
   *
   * @param base Computes the gradient through the frozen matrix, f32 (M, K).
   */
  backwardInput(commands: Commands, dx: Tensor, dy: Tensor, base: (dx: Tensor) => void): void {
    const { dx: residual, dbetween, spread, turned } = this.#scratch(dy.shape[0]);
    base(residual);
    loraSpread(commands, spread, this.b.operand, this.placed);
    matmulBackwardInput(commands, dbetween, dy, spread);
    loraTurn(commands, turned, this.a.operand);
    matmulForward(commands, dx, dbetween, turned, { residual });
  }

  /** dA += s (dy B)^T x and dB += s dy^T (x A^T), after {@link backwardInput}. */
  backwardWeight(commands: Commands, dy: Tensor, x: Tensor): void {
    const { between, dbetween, dspread } = this.#scratch(x.shape[0]);
    if (!this.a.gradient || !this.b.gradient) return;
    matmulBackwardWeight(commands, this.a.gradient, dbetween, x);
    matmulForward(commands, between, x, this.a.operand);
    commands.clear(dspread);
    matmulBackwardWeight(commands, dspread, dy, between);
    loraGather(commands, this.b.gradient, dspread, this.placed);
  }
}

/** The adapters of the matrix with this name in the table of parameters, if it has some. */
export function lowRankOf(
  runtime: { workspace: Workspace },
  weights: Weights,
  name: string,
): LowRank | undefined {
  const { parameters, adapter } = weights;
  const a = parameters.get(adapterName(name, "A"));
  const b = parameters.get(adapterName(name, "B"));
  if (!a || !b) return undefined;
  const matrix = parameters.get(name)!.spec;
  const placed = { spans: adaptedSpans(matrix, b.spec), scale: adapterScale(adapter!) };
  return new LowRank(a, b, matrix.shape, placed, runtime, weights);
}
