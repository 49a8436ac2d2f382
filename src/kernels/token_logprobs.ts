// This module is browser compatible.
import code from "../../shaders/token_logprobs.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { reducingThreads } from "./tuning.ts";
import { expectDtype, expectShape } from "./shapes.ts";

const kernel: Kernel = {
  name: "token_logprobs",
  code,
  params: { V: "u32", stride: "u32", TOP: "u32", STEPS: "u32", step: "u32" },
  reads: ["logits", "chosen"],
  writes: ["out"],
  reduces: "f32",
};

/** A token's log-probability, in nats. */
export interface TokenLogprob {
  id: number;
  logprob: number;
}

/** A token's log-probability where it stands, and the likeliest tokens there. */
export interface TokenLogprobs extends TokenLogprob {
  /** The likeliest first. */
  top: TokenLogprob[];
}

/** Words of a row of {@link tokenLogprobs}' result. */
export const logprobWords = (top: number) => 1 + 2 * top;

/**
 * Log-probabilities of one token per row and of the likeliest ones.
 *
 * @param out u32 (B, STEPS, logprobWords(top)), what {@link readTokenLogprobs} reads; column `step` is written.
 * @param logits f32 (B, stride >= V).
 * @param chosen Tokens, u32 (B).
 * @throws {RangeError} If shapes or dtypes disagree.
 */
export function tokenLogprobs(
  commands: Commands,
  out: Tensor,
  logits: Tensor,
  chosen: Tensor,
  { V, top, step = 0 }: { V: number; top: number; step?: number },
): void {
  const [B, stride] = logits.shape;
  const [, STEPS] = out.shape;
  expectDtype(kernel.name, "logits", logits, "f32");
  expectShape(kernel.name, "chosen", chosen, [B]);
  expectShape(kernel.name, "out", out, [B, STEPS, logprobWords(top)]);
  if (top > V || V > stride || step >= STEPS) {
    throw new RangeError(
      `${kernel.name}: expected top <= V <= stride and step < STEPS, found ${top}, ${V}, ${stride} and ${step}, ${STEPS}`,
    );
  }
  commands.dispatch(kernel, {
    variant: { overrides: { WORKGROUP: reducingThreads(commands.gpu, "sample") } },
    params: { V, stride, TOP: top, STEPS, step },
    tensors: [logits, chosen, out],
    workgroups: [B],
  });
}

/** Reads one row and step of {@link tokenLogprobs}' result; `id` is the token that it was chosen for. */
export function readTokenLogprobs(words: Uint32Array<ArrayBuffer>, id: number): TokenLogprobs {
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
  const top: TokenLogprob[] = [];
  for (let i = 1; i < words.length; i += 2) top.push({ id: words[i], logprob: floats[i + 1] });
  return { id, logprob: floats[0], top };
}
