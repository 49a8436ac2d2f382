// This module is browser compatible.
import { writeTensor } from "../gpu/tensor.ts";
import { logprobBackward, logprobForward, NO_POSITION } from "../kernels/logprob.ts";
import type { BenchTensors, Filled } from "./bench_tensors.ts";
import { type CaseMaker, type KernelCase, type KernelSizes, someOf } from "./kernel_case.ts";

/** Log-softmax over a chunk of logits with one scored position per row, forward and backward. */
export function headCases({ config: { vocabSize: V }, headRows: R }: KernelSizes): CaseMaker[] {
  return [(bench) => forward(bench, R, V), (bench) => backward(bench, R, V)];
}

const WEIGHT = 0.5;
const targetOf = (row: number, V: number) => row * 7 % V;

/** One sequence whose rows are all scored. */
function scoredRows(bench: BenchTensors, R: number, V: number) {
  const rowScored = Uint32Array.from({ length: 2 * R }, (_, i) => i % 2 ? NO_POSITION : i / 2);
  const scored = new Uint32Array(4 * R);
  for (let row = 0; row < R; row++) scored.set([row, targetOf(row, V), 0], 4 * row);
  const floats = new Float32Array(scored.buffer);
  for (let row = 0; row < R; row++) floats[4 * row + 3] = WEIGHT;
  return {
    rowScored: bench.u32([R, 2], rowScored),
    scored: bench.u32([R, 4], scored),
    sequences: bench.u32([1, 4], Uint32Array.of(0, 0, R, 0)),
  };
}

function lseOf(logits: Filled, row: number, V: number): number {
  let sum = 0;
  for (let v = 0; v < V; v++) sum += Math.exp(logits.data[row * V + v]);
  return Math.log(sum);
}

function forward(bench: BenchTensors, R: number, V: number): KernelCase {
  const logits = bench.f32([R, V], 4);
  const scored = scoredRows(bench, R, V);
  const lse = bench.zeros("f32", [R, 2]);
  const logprob = bench.zeros("f32", [R]);
  return {
    kernel: "logprob_forward",
    shape: `${R} x ${V}`,
    flop: 4 * R * V,
    bytes: 4 * R * V,
    record: (commands) =>
      logprobForward(commands, lse, logprob, logits.tensor, scored, { V, firstRow: 0 }),
    expected: {
      output: logprob,
      entries: someOf(R).map((row) => ({
        index: row,
        value: logits.data[row * V + targetOf(row, V)] - lseOf(logits, row, V),
      })),
    },
  };
}

function backward(bench: BenchTensors, R: number, V: number): KernelCase {
  const logits = bench.f32([R, V], 4);
  const scored = scoredRows(bench, R, V);
  const lse = bench.zeros("f32", [R, 2]);
  // The sum of both numbers counts.
  const parts = Array.from({ length: R }, (_, row) => [lseOf(logits, row, V), 0]).flat();
  writeTensor(bench.gpu, lse, Float32Array.from(parts));
  const dscore = bench.f32([1]);
  return {
    kernel: "logprob_backward",
    shape: `${R} x ${V}`,
    flop: 4 * R * V,
    bytes: 8 * R * V,
    record: (commands) =>
      logprobBackward(commands, logits.tensor, lse, dscore.tensor, scored, { V, firstRow: 0 }),
    expected: {
      output: logits.tensor,
      entries: someOf(R).map((row) => {
        const target = targetOf(row, V);
        const p = Math.exp(logits.data[row * V + target] - lseOf(logits, row, V));
        return { index: row * V + target, value: dscore.data[0] * WEIGHT * (1 - p) };
      }),
    },
  };
}
