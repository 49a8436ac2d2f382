// This module is browser compatible.
import { matmulBackwardInput, matmulBackwardWeight, matmulForward } from "../kernels/matmul.ts";
import { type CaseMaker, type KernelSizes, someOf } from "./kernels.ts";

/** The linear layers of the model: forward and both gradients. */
export function matmulCases({ config, M, headRows }: KernelSizes): CaseMaker[] {
  const { hiddenSize: C, intermediateSize: F, numHeads, numKvHeads, headSize, vocabSize } = config;
  const layers: [name: string, M: number, N: number, K: number][] = [
    ["qkv", M, (numHeads + 2 * numKvHeads) * headSize, C],
    ["o", M, C, numHeads * headSize],
    ["gate_up", M, 2 * F, C],
    ["down", M, C, F],
    ["head", headRows, vocabSize, C],
  ];
  return layers.flatMap((layer) => [forward(...layer), input(...layer), weight(...layer)]);
}

const shapeOf = (name: string, M: number, N: number, K: number) => `${name} ${M} x ${N} x ${K}`;

/** Bytes of operands and of an f32 result. */
const traffic = (operandBytes: number, operands: number, results: number, resultBytes: number) =>
  operandBytes * operands + resultBytes * results;

function forward(name: string, M: number, N: number, K: number): CaseMaker {
  return (arena) => {
    const x = arena.operand([M, K]);
    const weight = arena.operand([N, K], 0.1);
    const size = arena.precision === "f16" ? 2 : 4;
    const y = arena.zeros(name === "head" ? "f32" : arena.precision, [M, N]);
    return {
      kernel: "matmul_forward",
      shape: shapeOf(name, M, N, K),
      flop: 2 * M * N * K,
      bytes: traffic(size, M * K + N * K, M * N, name === "head" ? 4 : size),
      record: (commands) => matmulForward(commands, y, x.tensor, weight.tensor),
      expected: {
        output: y,
        entries: someOf(M * N).map((index) => {
          const [m, n] = [Math.floor(index / N), index % N];
          let value = 0;
          for (let k = 0; k < K; k++) value += x.data[m * K + k] * weight.data[n * K + k];
          return { index, value };
        }),
      },
    };
  };
}

function input(name: string, M: number, N: number, K: number): CaseMaker {
  return (arena) => {
    const dy = arena.operand([M, N]);
    const weight = arena.operand([N, K], 0.1);
    const dx = arena.zeros(arena.precision, [M, K]);
    const size = arena.precision === "f16" ? 2 : 4;
    return {
      kernel: "matmul_backward_input",
      shape: shapeOf(name, M, N, K),
      flop: 2 * M * N * K,
      bytes: traffic(size, M * N + N * K, M * K, size),
      record: (commands) => matmulBackwardInput(commands, dx, dy.tensor, weight.tensor),
      expected: {
        output: dx,
        entries: someOf(M * K).map((index) => {
          const [m, k] = [Math.floor(index / K), index % K];
          let value = 0;
          for (let n = 0; n < N; n++) value += dy.data[m * N + n] * weight.data[n * K + k];
          return { index, value };
        }),
      },
    };
  };
}

function weight(name: string, M: number, N: number, K: number): CaseMaker {
  return (arena) => {
    const dy = arena.operand([M, N]);
    const x = arena.operand([M, K]);
    const dweight = arena.zeros("f32", [N, K]);
    const size = arena.precision === "f16" ? 2 : 4;
    return {
      kernel: "matmul_backward_weight",
      shape: shapeOf(name, M, N, K),
      flop: 2 * M * N * K,
      bytes: traffic(size, M * N + M * K, 2 * N * K, 4), // accumulates: reads and writes
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
  };
}
