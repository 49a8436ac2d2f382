// This module is browser compatible.
/**
 * Speed of every kernel of a training step at a model's shapes. No speed without right results: a few entries of each output
 * are compared with double precision first.
 *
 * @module
 */
import { Commands } from "../gpu/commands.ts";
import type { Gpu } from "../gpu/device.ts";
import { readTensor } from "../gpu/tensor.ts";
import type { Operand } from "../kernels/shapes.ts";
import { BenchTensors } from "./bench_tensors.ts";
import { attentionCases } from "./attention_cases.ts";
import { elementwiseCases } from "./elementwise_cases.ts";
import { headCases } from "./head_cases.ts";
import type { KernelCase, KernelSizes } from "./kernel_case.ts";
import { matmulCases } from "./matmul_cases.ts";
import { Stopwatch } from "./timing.ts";

export interface KernelSpeed {
  kernel: string;
  shape: string;
  milliseconds: number;
  gflops: number;
  gbps: number;
}

/** @returns A row per kernel and shape, and what the time was taken with. */
export async function benchKernels(
  gpu: Gpu,
  precision: Operand,
  sizes: KernelSizes,
): Promise<{ clock: string; speeds: KernelSpeed[] }> {
  const stopwatch = new Stopwatch(gpu);
  const speeds: KernelSpeed[] = [];
  const makers = [
    ...matmulCases(sizes),
    ...attentionCases(sizes),
    ...elementwiseCases(sizes),
    ...headCases(sizes),
  ];
  for (const make of makers) {
    const bench = new BenchTensors(gpu, precision);
    const made = make(bench);
    await check(gpu, precision, made);
    const milliseconds = await stopwatch.measure((c) => made.record(c), sizes.repetitions);
    const { kernel, shape, flop, bytes } = made;
    speeds.push({
      kernel,
      shape,
      milliseconds,
      gflops: flop / milliseconds / 1e6,
      gbps: bytes / milliseconds / 1e6,
    });
    bench.release();
  }
  return { clock: stopwatch.clock, speeds };
}

/** f32 sums of a thousand products, and results that are stored as f16. */
const TOLERANCE = { f32: 1e-4, f16: 4e-3 };

async function check(gpu: Gpu, precision: Operand, made: KernelCase): Promise<void> {
  const commands = new Commands(gpu);
  made.record(commands);
  commands.submit();
  const found = await readTensor(gpu, made.expected.output);
  for (const { index, value } of made.expected.entries) {
    if (Math.abs(found[index] - value) <= TOLERANCE[precision] * (1 + Math.abs(value))) continue;
    throw new Error(
      `${made.kernel} (${made.shape}) is wrong, so its speed means nothing: entry ${index}: expected ${value}, found ${
        found[index]
      }`,
    );
  }
}
