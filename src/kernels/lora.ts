// This module is browser compatible.
import gatherCode from "../../shaders/lora_gather.wgsl" with { type: "text" };
import spreadCode from "../../shaders/lora_spread.wgsl" with { type: "text" };
import turnCode from "../../shaders/lora_turn.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import { elementCount, type Tensor } from "../gpu/tensor.ts";
import { paddedColumns } from "./matmul.ts";
import { expectDtype, expectShape, grid } from "./shapes.ts";

const params = {
  N: "u32",
  width: "u32",
  rank: "u32",
  scale: "f32",
  begin_0: "u32",
  end_0: "u32",
  begin_1: "u32",
  end_1: "u32",
  begin_2: "u32",
  end_2: "u32",
} as const;

const spreadKernel: Kernel = {
  name: "lora_spread",
  code: spreadCode,
  params,
  reads: ["b"],
  writes: ["y"],
};
const gatherKernel: Kernel = {
  name: "lora_gather",
  code: gatherCode,
  params,
  reads: ["dy"],
  writes: ["db"],
};
const turnKernel: Kernel = {
  name: "lora_turn",
  code: turnCode,
  params: { R: "u32", K: "u32", width: "u32" },
  reads: ["a"],
  writes: ["y"],
};

const THREADS = 64;
const MOST_PARTS = 3;

/** Rows of a stacked matrix that have an adapter of their own. */
export interface Span {
  first: number;
  rows: number;
}

/** Which rows of a matrix have an adapter, at most three parts of them, and what their product is multiplied by. */
export interface Spread {
  spans: readonly Span[];
  scale: number;
}

/**
 * The second matrices of the adapters of a stacked matrix as one operand, scaled: each part has columns of its own, so that one
 * product serves all.
 *
 * @param y Result, f32 (N, paddedColumns(parts r)), 0 outside of the parts' blocks.
 * @param b The parts one behind the other, f32 (sum of the spans' rows, r).
 * @throws {RangeError} If the shapes disagree.
 */
export function loraSpread(commands: Commands, y: Tensor, b: Tensor, spread: Spread): void {
  const fields = checkSpread(spreadKernel.name, y, b, spread);
  commands.dispatch(spreadKernel, {
    variant: { overrides: { WORKGROUP: THREADS } },
    params: fields,
    tensors: [b, y],
    workgroups: grid(Math.ceil(elementCount(y.shape) / 4 / THREADS)),
  });
}

/**
 * Gradient of {@link loraSpread}.
 *
 * @param db Accumulated into, f32 (sum of the spans' rows, r).
 * @param dy Upstream gradient, f32 (N, paddedColumns(parts r)).
 * @throws {RangeError} If the shapes disagree.
 */
export function loraGather(commands: Commands, db: Tensor, dy: Tensor, spread: Spread): void {
  const fields = checkSpread(gatherKernel.name, dy, db, spread);
  commands.dispatch(gatherKernel, {
    variant: { overrides: { WORKGROUP: THREADS } },
    params: fields,
    tensors: [dy, db],
    workgroups: grid(Math.ceil(elementCount(db.shape) / THREADS)),
  });
}

/**
 * The first matrices of the adapters, turned.
 *
 * @param y Result, f32 (K, paddedColumns(R)); the padding is set to 0.
 * @param a f32 (R, K).
 * @throws {RangeError} If the shapes disagree.
 */
export function loraTurn(commands: Commands, y: Tensor, a: Tensor): void {
  const [R, K] = a.shape;
  const width = paddedColumns(R);
  expectShape(turnKernel.name, "y", y, [K, width]);
  for (const [name, tensor] of Object.entries({ y, a })) {
    expectDtype(turnKernel.name, name, tensor, "f32");
  }
  commands.dispatch(turnKernel, {
    variant: { overrides: { WORKGROUP: THREADS } },
    params: { R, K, width },
    tensors: [a, y],
    workgroups: grid(Math.ceil(K * width / 4 / THREADS)),
  });
}

function checkSpread(
  kernel: string,
  wide: Tensor,
  narrow: Tensor,
  { spans, scale }: Spread,
): Record<keyof typeof params, number> {
  const [N] = wide.shape;
  const rank = narrow.shape[1];
  const width = paddedColumns(spans.length * rank);
  const rows = spans.reduce((sum, span) => sum + span.rows, 0);
  expectShape(kernel, "the wide matrix", wide, [N, width]);
  expectShape(kernel, "the narrow matrix", narrow, [rows, rank]);
  for (const tensor of [wide, narrow]) expectDtype(kernel, "both matrices", tensor, "f32");
  if (spans.length > MOST_PARTS || spans.some(({ first, rows }) => first + rows > N)) {
    throw new RangeError(`${kernel}: expected at most ${MOST_PARTS} parts within ${N} rows`);
  }
  const [a, b, c] = Array.from({ length: MOST_PARTS }, (_, i) => {
    const { first, rows } = spans[i] ?? { first: 0, rows: 0 };
    return { begin: first, end: first + rows };
  });
  return {
    ...{ N, width, rank, scale },
    ...{ begin_0: a.begin, end_0: a.end, begin_1: b.begin, end_1: b.end },
    ...{ begin_2: c.begin, end_2: c.end },
  };
}
