// This module is browser compatible.
import code from "../../shaders/sample.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { expectDtype, expectShape } from "./shapes.ts";
import { reducingThreads } from "./tuning.ts";

const kernel: Kernel = {
  name: "sample",
  code,
  params: { V: "u32", stride: "u32", counts_stride: "u32", history_stride: "u32" },
  reads: ["settings"],
  writes: ["logits", "counts", "next", "lengths", "history"],
  reduces: "vec3<f32>",
};

const SETTING_WORDS = 10;
/** What {@link sample} chooses where NaN or infinity stands among the scores, or nothing else. */
export const NO_TOKEN = 0xffffffff;
/** Below it a temperature is taken for 0: scores divided by it would leave the range of f32. */
const LOWEST_TEMPERATURE = 1e-6;
const SEEN = 0x80000000;

/** How the next token of a row is chosen. */
export interface Sampling {
  /** Scores are divided by it; 0 takes the largest, and so does anything below 1e-6. */
  temperature: number;
  /** Keep the tokens with fewer than this many larger ones; 0 keeps all. */
  topK: number;
  /** Keep the largest tokens until they hold this share of the probability; 1 keeps all. */
  topP: number;
  /** Keep the tokens with at least this share of the likeliest one's probability; 0 keeps all. */
  minP: number;
  /** Over 1 makes tokens that were there before, in the prompt or since, less likely; 1 is off. */
  repetitionPenalty: number;
  /** Taken off a token's score for each time that it was drawn; 0 is off. */
  frequencyPenalty: number;
  /** Taken off a token's score once it was drawn; 0 is off. */
  presencePenalty: number;
  /** With the same seed, sequence and position, and the same logits, the same token is drawn; u32. */
  seed: number;
  /** Which of the sequences drawn with this seed; u32. */
  sequence: number;
}

/** Greedy decoding without penalties. */
export const GREEDY: Sampling = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  seed: 0,
  sequence: 0,
};

/**
 * Chooses the next token of every row, notes it, and moves the row's sequence one token on. A draw depends on the row's logits,
 * seed, sequence and position alone.
 *
 * @param next Chosen tokens, u32 (B); {@link NO_TOKEN} in rows that have no distribution.
 * @param logits f32 (B, stride >= V); become the probabilities that the token was drawn with, 0 where it was filtered out.
 * @param V Vocabulary.
 * @param counts What {@link tokenCounts} made of the tokens before, by slot, u32 (slots, countsStride(V), 2); the chosen token is
 * counted.
 * @param settings What {@link samplingSettings} made of the rows' settings, u32 (B, 10).
 * @param lengths First cache row and tokens so far of every sequence, u32 (B, 2); the position of a row is that of its last
 * token. Each has one token more afterwards.
 * @param history How many tokens were drawn and which, u32 (B, 1 + steps); receives the token unless it is full.
 * @throws {RangeError} If shapes or dtypes disagree.
 */
export function sample(
  commands: Commands,
  next: Tensor,
  logits: Tensor,
  V: number,
  counts: Tensor,
  settings: Tensor,
  lengths: Tensor,
  history: Tensor,
): void {
  const [B, stride] = logits.shape;
  const [, history_stride] = history.shape;
  if (V > stride) {
    throw new RangeError(`sample: expected at least ${V} logits per row, found ${stride}`);
  }
  const counts_stride = countsStride(V);
  expectDtype("sample", "logits", logits, "f32");
  expectShape("sample", "counts", counts, [counts.shape[0], counts_stride, 2]);
  expectShape("sample", "settings", settings, [B, SETTING_WORDS]);
  expectShape("sample", "next", next, [B]);
  expectShape("sample", "lengths", lengths, [B, 2]);
  expectShape("sample", "history", history, [B, history_stride]);
  commands.dispatch(kernel, {
    variant: { overrides: { WORKGROUP: reducingThreads(commands.gpu, "sample") } },
    params: { V, stride, counts_stride, history_stride },
    tensors: [settings, logits, counts, next, lengths, history],
    workgroups: [B],
  });
}

/**
 * Packs the rows' settings as {@link sample} reads them, u32 (B, 10).
 *
 * @param rows With the slot that counts the tokens of each.
 * @throws {RangeError} If a setting is out of its range.
 */
export function samplingSettings(rows: readonly (Sampling & { slot: number })[]): Uint32Array {
  const words = new Uint32Array(rows.length * SETTING_WORDS);
  const floats = new Float32Array(words.buffer);
  for (const [b, row] of rows.entries()) {
    checkSampling(row);
    const at = b * SETTING_WORDS;
    const { repetitionPenalty, frequencyPenalty, presencePenalty } = row;
    floats[at] = row.temperature < LOWEST_TEMPERATURE ? 0 : row.temperature;
    words[at + 1] = row.topK;
    floats.set([row.topP, row.minP, repetitionPenalty], at + 2);
    floats.set([frequencyPenalty, presencePenalty], at + 5);
    words.set([row.seed, row.sequence, row.slot], at + 7);
  }
  return words;
}

/** @throws {RangeError} If a setting is out of its range. */
export function checkSampling(row: Sampling): void {
  const expect = (name: keyof Sampling, valid: boolean, range: string) => {
    if (!valid) {
      throw new RangeError(`sample: expected ${name} to be ${range}, found ${row[name]}`);
    }
  };
  expect("temperature", row.temperature >= 0, "a number from 0 on");
  expect("topP", row.topP >= 0 && row.topP <= 1, "a number from 0 to 1");
  expect("minP", row.minP >= 0 && row.minP <= 1, "a number from 0 to 1");
  expect("repetitionPenalty", row.repetitionPenalty > 0, "a number over 0");
  for (const name of ["frequencyPenalty", "presencePenalty"] as const) {
    expect(name, Number.isFinite(row[name]), "a number");
  }
  for (const name of ["topK", "seed", "sequence"] as const) {
    expect(name, row[name] >>> 0 === row[name], "a whole number below 2^32");
  }
}

/** Tokens in a row of {@link sample}'s `counts`: rows begin where a buffer can be bound or written. */
export function countsStride(V: number): number {
  return Math.ceil(V / 32) * 32;
}

/**
 * The tokens of a sequence before its next one, counted, as a row of {@link sample}'s `counts`, u32 (countsStride(V), 2).
 *
 * @param prompt Tokens that count as seen.
 * @param drawn Tokens that count as drawn, and seen.
 * @param bias Added to tokens' scores.
 */
export function tokenCounts(
  V: number,
  prompt: ArrayLike<number>,
  drawn: ArrayLike<number> = [],
  bias: ReadonlyMap<number, number> = new Map(),
): Uint32Array {
  const words = new Uint32Array(2 * countsStride(V));
  const floats = new Float32Array(words.buffer);
  for (let i = 0; i < prompt.length; i++) words[2 * prompt[i]] |= SEEN;
  for (let i = 0; i < drawn.length; i++) words[2 * drawn[i]] = (words[2 * drawn[i]] | SEEN) + 1;
  for (const [token, value] of bias) floats[2 * token + 1] = value;
  return words;
}
