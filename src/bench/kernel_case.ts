// This module is browser compatible.
import type { Commands } from "../gpu/commands.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { ModelConfig } from "../model/config.ts";
import type { BenchTensors } from "./bench_tensors.ts";

/** What to run, and what must come out. */
export interface KernelCase {
  kernel: string;
  shape: string;
  /** Arithmetic operations; an exponential or a root counts as one. */
  flop: number;
  /** Bytes that must pass to or from memory: every input read and every output written once. */
  bytes: number;
  record(commands: Commands): void;
  /** Some entries of an output after the first run. */
  expected: { output: Tensor; entries: { index: number; value: number }[] };
}

/** Makes the tensors of a case, once it is its turn. */
export type CaseMaker = (bench: BenchTensors) => KernelCase;

export interface KernelSizes {
  config: ModelConfig;
  /** Tokens. */
  M: number;
  /** Rows of logits. */
  headRows: number;
  /** Tokens of a sequence, for attention. */
  sequence: number;
  repetitions: number;
}

/** First, last and some indices between. */
export function someOf(count: number, many = 3): number[] {
  return Array.from({ length: many }, (_, i) => Math.floor(i * (count - 1) / (many - 1)));
}
