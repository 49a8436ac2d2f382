// This module is browser compatible.
import { matmulBackwardInput, matmulBackwardWeight, matmulForward } from "../kernels/matmul.ts";
import { matvecForward } from "../kernels/matvec.ts";
import type { BenchTensors, Filled } from "./bench_tensors.ts";
import { type CaseMaker, type KernelCase, type KernelSizes, someOf } from "./kernel_case.ts";

/** A linear layer: (M, K) to (M, N). Its result and the gradient there are `wide`, f32, in the residual stream and the logits. */
interface Layer {
  name: string;
  M: number;
  N: number;
  K: number;
  wide: boolean;
}

/** The linear layers of the model: forward and both gradients, and a single row forward, as in decoding. */
export function matmulCases({ config, M, headRows }: KernelSizes): CaseMaker[] {
  const { hiddenSize: C, intermediateSize: F, numHeads, numKvHeads, headSize, vocabSize } = config;
  const layers: Layer[] = [
    { name: "qkv", M, N: (numHeads + 2 * numKvHeads) * headSize, K: C, wide: false },
    { name: "o", M, N: C, K: numHeads * headSize, wide: true },
    { name: "gate_up", M, N: 2 * F, K: C, wide: false },
    { name: "down", M, N: C, K: F, wide: true },
    { name: "head", M: headRows, N: vocabSize, K: C, wide: true },
  ];
  const training = layers.flatMap((layer): CaseMaker[] => [
    (bench) => forward(bench, layer, "matmul_forward", matmulForward),
    (bench) => backwardInput(bench, layer),
    (bench) => backwardWeight(bench, layer),
  ]);
  const decoding = layers.map((layer): CaseMaker => (bench) =>
    forward(
      bench,
      { ...layer, M: 1 },
      "matvec_forward",
      (commands, y, x, weight) => matvecForward(commands, y, x, weight),
    )
  );
  return [...training, ...decoding];
}

function sizes(bench: BenchTensors, { name, M, N, K, wide }: Layer) {
  const narrowBytes = bench.precision === "f16" ? 2 : 4;
  return {
    shape: `${name} ${M} x ${N} x ${K}`,
    flop: 2 * M * N * K,
    input: M * K * narrowBytes,
    weight: N * K * narrowBytes,
    result: M * N * (wide ? 4 : narrowBytes),
  };
}

const noise = (bench: BenchTensors, wide: boolean, shape: number[]): Filled =>
  wide ? bench.f32(shape) : bench.operand(shape);

function forward(
  bench: BenchTensors,
  layer: Layer,
  kernel: string,
  multiply: typeof matmulForward,
): KernelCase {
  const { M, N, K, wide } = layer;
  const { shape, flop, input, weight, result } = sizes(bench, layer);
  const x = bench.operand([M, K]);
  const w = bench.operand([N, K], 0.1);
  const y = bench.zeros(wide ? "f32" : bench.precision, [M, N]);
  return {
    kernel,
    shape,
    flop,
    bytes: input + weight + result,
    record: (commands) => multiply(commands, y, x.tensor, w.tensor),
    expected: {
      output: y,
      entries: someOf(M * N).map((index) => {
        const [m, n] = [Math.floor(index / N), index % N];
        let value = 0;
        for (let k = 0; k < K; k++) value += x.data[m * K + k] * w.data[n * K + k];
        return { index, value };
      }),
    },
  };
}

function backwardInput(bench: BenchTensors, layer: Layer): KernelCase {
  const { M, N, K, wide } = layer;
  const { shape, flop, input, weight, result } = sizes(bench, layer);
  const dy = noise(bench, wide, [M, N]);
  const w = bench.operand([N, K], 0.1);
  const dx = bench.zeros(bench.precision, [M, K]);
  return {
    kernel: "matmul_backward_input",
    shape,
    flop,
    bytes: input + weight + result,
    record: (commands) => matmulBackwardInput(commands, dx, dy.tensor, w.tensor),
    expected: {
      output: dx,
      entries: someOf(M * K).map((index) => {
        const [m, k] = [Math.floor(index / K), index % K];
        let value = 0;
        for (let n = 0; n < N; n++) value += dy.data[m * N + n] * w.data[n * K + k];
        return { index, value };
      }),
    },
  };
}

function backwardWeight(bench: BenchTensors, layer: Layer): KernelCase {
  const { M, N, K, wide } = layer;
  const { shape, flop, input, result } = sizes(bench, layer);
  const dy = noise(bench, wide, [M, N]);
  const x = bench.operand([M, K]);
  const dweight = bench.zeros("f32", [N, K]);
  return {
    kernel: "matmul_backward_weight",
    shape,
    flop,
    bytes: input + result + 2 * 4 * N * K, // it accumulates: reads and writes
    record: (commands) => matmulBackwardWeight(commands, dweight, dy.tensor, x.tensor),
    expected: {
      output: dweight,
      entries: someOf(N * K).map((index) => {
        const [n, k] = [Math.floor(index / K), index % K];
        let value = 0;
        for (let m = 0; m < M; m++) value += dy.data[m * N + n] * x.data[m * K + k];
        return { index, value };
      }),
    },
  };
}
