// This module is browser compatible.
import code from "../../shaders/decode_advance.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { expectDtype, expectShape } from "./shapes.ts";

const kernel: Kernel = {
  name: "decode_advance",
  code,
  params: { B: "u32", STEPS: "u32", step: "u32" },
  reads: ["next"],
  writes: ["history", "positions", "lengths"],
};

const WORKGROUP = 64;

/** Where the sequences of a batch stand: that of their newest token. All u32. */
export interface DecodePlaces {
  /** Position in the sequence (B). */
  positions: Tensor;
  /** First cache row and number of keys, the token's own included, which come to the last of as many rows (B, 2). */
  lengths: Tensor;
}

/**
 * Notes the next token of every sequence and moves their places one on, to where that token stands.
 *
 * @param history Receives the tokens in its column `step`, u32 (B, steps).
 * @param next Tokens, u32 (B).
 * @throws {RangeError} If shapes or dtypes disagree, or there is no such column.
 */
export function decodeAdvance(
  commands: Commands,
  history: Tensor,
  next: Tensor,
  { positions, lengths }: DecodePlaces,
  step: number,
): void {
  const [B] = next.shape;
  const [, STEPS] = history.shape;
  for (const [name, tensor] of Object.entries({ next, history, positions, lengths })) {
    expectDtype(kernel.name, name, tensor, "u32");
  }
  expectShape(kernel.name, "next", next, [B]);
  expectShape(kernel.name, "history", history, [B, STEPS]);
  expectShape(kernel.name, "positions", positions, [B]);
  expectShape(kernel.name, "lengths", lengths, [B, 2]);
  if (!(step >= 0 && step < STEPS)) {
    throw new RangeError(`${kernel.name}: expected a step below ${STEPS}, found ${step}`);
  }
  commands.dispatch(kernel, {
    variant: { overrides: { WORKGROUP } },
    params: { B, STEPS, step },
    tensors: [next, history, positions, lengths],
    workgroups: [Math.ceil(B / WORKGROUP)],
  });
}
