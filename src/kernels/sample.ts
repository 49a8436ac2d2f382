// This module is browser compatible.
import code from "../../shaders/sample.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { expectDtype, expectShape } from "./shapes.ts";

const kernel: Kernel = {
  name: "sample",
  code,
  params: { V: "u32", stride: "u32" },
  reads: ["settings", "positions"],
  writes: ["logits", "seen", "next"],
  reduces: "vec3<f32>",
};

const SETTING_WORDS = 6;

/** How the next token of a row is chosen. */
export interface Sampling {
  /** Scores are divided by it; 0 takes the largest. */
  temperature: number;
  /** Keep the tokens with fewer than this many larger ones; 0 keeps all. */
  topK: number;
  /** Keep the largest tokens until they hold this share of the probability; 1 keeps all. */
  topP: number;
  /** Over 1 makes tokens that were there before less likely; 1 is off. */
  repetitionPenalty: number;
  /** With the same seed, sequence and position, and the same logits, the same token is drawn; u32. */
  seed: number;
  /** Which of the sequences drawn with this seed; u32. */
  sequence: number;
}

/**
 * Chooses the next token of every row. A draw depends on the row's logits, seed, sequence and position alone.
 *
 * @param next Chosen tokens, u32 (B).
 * @param logits f32 (B, stride >= V); become the probabilities that the token was drawn with, 0 where it was filtered out.
 * @param V Vocabulary.
 * @param seen What {@link seenTokens} made of the tokens before, u32 (B, ceil(V / 32)); the chosen token is added.
 * @param settings What {@link samplingSettings} made of the rows' settings, u32 (B, 6).
 * @param positions Positions of the rows, u32 (B).
 * @throws {RangeError} If shapes or dtypes disagree.
 */
export function sample(
  commands: Commands,
  next: Tensor,
  logits: Tensor,
  V: number,
  seen: Tensor,
  settings: Tensor,
  positions: Tensor,
): void {
  const [B, stride] = logits.shape;
  if (V > stride) {
    throw new RangeError(`sample: expected at least ${V} logits per row, found ${stride}`);
  }
  expectDtype("sample", "logits", logits, "f32");
  expectShape("sample", "seen", seen, [B, Math.ceil(V / 32)]);
  expectShape("sample", "settings", settings, [B, SETTING_WORDS]);
  expectShape("sample", "positions", positions, [B]);
  expectShape("sample", "next", next, [B]);
  commands.dispatch(kernel, {
    variant: { overrides: { WORKGROUP: threadsPerRow(commands.gpu) } },
    params: { V, stride },
    tensors: [settings, positions, logits, seen, next],
    workgroups: [B],
  });
}

/** A row has one workgroup, so a GPU gets the largest it takes; on a CPU more threads only wait for each other longer. */
function threadsPerRow({ info, device }: Gpu): number {
  if (info.software) return 64;
  return device.limits.maxComputeInvocationsPerWorkgroup >= 1024 ? 1024 : 256;
}

/**
 * Packs the rows' settings as {@link sample} reads them, u32 (B, 6).
 *
 * @throws {RangeError} If a setting is out of its range.
 */
export function samplingSettings(rows: readonly Sampling[]): Uint32Array {
  const words = new Uint32Array(rows.length * SETTING_WORDS);
  const floats = new Float32Array(words.buffer);
  for (const [b, row] of rows.entries()) {
    expectSetting(row, "temperature", row.temperature >= 0, "a number from 0 on");
    expectSetting(row, "topP", row.topP >= 0 && row.topP <= 1, "a number from 0 to 1");
    expectSetting(row, "repetitionPenalty", row.repetitionPenalty > 0, "a number over 0");
    for (const name of ["topK", "seed", "sequence"] as const) {
      expectSetting(row, name, row[name] >>> 0 === row[name], "a whole number below 2^32");
    }
    const at = b * SETTING_WORDS;
    floats.set([row.temperature], at);
    words[at + 1] = row.topK;
    floats.set([row.topP, row.repetitionPenalty], at + 2);
    words.set([row.seed, row.sequence], at + 4);
  }
  return words;
}

function expectSetting(row: Sampling, name: keyof Sampling, valid: boolean, range: string): void {
  if (!valid) throw new RangeError(`sample: expected ${name} to be ${range}, found ${row[name]}`);
}

/** One bit per token of a vocabulary and row, u32 (B, ceil(V / 32)): those in the row's list are set. */
export function seenTokens(rows: readonly ArrayLike<number>[], V: number): Uint32Array {
  const words = Math.ceil(V / 32);
  const seen = new Uint32Array(rows.length * words);
  for (const [b, tokens] of rows.entries()) {
    for (let i = 0; i < tokens.length; i++) {
      seen[b * words + (tokens[i] >>> 5)] |= 1 << (tokens[i] & 31);
    }
  }
  return seen;
}
