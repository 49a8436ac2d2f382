// This module is browser compatible.
import { embeddingBackward, embeddingForward, groupById } from "../kernels/embedding.ts";
import { adamw, CORRECTION, CORRECTION_WORDS } from "../kernels/adamw.ts";
import { STATE, STATE_WORDS } from "../kernels/state.ts";
import { rmsnormBackward, rmsnormBackwardWeight, rmsnormForward } from "../kernels/rmsnorm.ts";
import { ropeForward } from "../kernels/rope.ts";
import { swigluBackward, swigluForward } from "../kernels/swiglu.ts";
import { ropeTable } from "../model/rope_frequencies.ts";
import { writeTensor } from "../gpu/tensor.ts";
import type { BenchTensors } from "./bench_tensors.ts";
import { type CaseMaker, type KernelCase, type KernelSizes, someOf } from "./kernel_case.ts";

/** Everything whose speed is that of memory. */
export function elementwiseCases(sizes: KernelSizes): CaseMaker[] {
  return [
    normForward,
    normBackward,
    normBackwardWeight,
    rope,
    gateForward,
    gateBackward,
    lookUp,
    lookUpBackward,
    update,
  ].map((make) => (bench) => make(bench, sizes));
}

const EPS = 1e-5;
const bytesOf = (bench: BenchTensors) => bench.precision === "f16" ? 2 : 4;

function rstdOf(x: Float32Array, n: number, C: number): number {
  const squares = x.subarray(n * C, (n + 1) * C).reduce((sum, value) => sum + value ** 2, 0);
  return 1 / Math.sqrt(squares / C + EPS);
}

function normForward(
  bench: BenchTensors,
  { config: { hiddenSize: C }, M }: KernelSizes,
): KernelCase {
  const x = bench.f32([M, C]);
  const weight = bench.f32([C]);
  const y = bench.zeros(bench.precision, [M, C]);
  const rstd = bench.zeros("f32", [M]);
  return {
    kernel: "rmsnorm_forward",
    shape: `${M} x ${C}`,
    flop: 4 * M * C,
    bytes: M * C * (4 + bytesOf(bench)),
    record: (commands) => rmsnormForward(commands, y, rstd, x.tensor, weight.tensor, EPS),
    expected: {
      output: y,
      entries: someOf(M * C).map((index) => ({
        index,
        value: x.data[index] * rstdOf(x.data, Math.floor(index / C), C) * weight.data[index % C],
      })),
    },
  };
}

/** A norm's input, upstream gradient and reciprocal root mean squares. */
function normTensors(bench: BenchTensors, M: number, C: number) {
  const x = bench.f32([M, C]);
  const rstd = bench.zeros("f32", [M]);
  writeTensor(bench.gpu, rstd, Float32Array.from({ length: M }, (_, n) => rstdOf(x.data, n, C)));
  return { x, rstd, dy: bench.operand([M, C]) };
}

function normBackward(
  bench: BenchTensors,
  { config: { hiddenSize: C }, M }: KernelSizes,
): KernelCase {
  const { x, rstd, dy } = normTensors(bench, M, C);
  const weight = bench.f32([C]);
  const dx = bench.zeros("f32", [M, C]);
  return {
    kernel: "rmsnorm_backward",
    shape: `${M} x ${C}`,
    flop: 8 * M * C,
    bytes: M * C * (12 + bytesOf(bench)),
    record: (commands) => rmsnormBackward(commands, dx, dy.tensor, x.tensor, weight.tensor, rstd),
    expected: {
      output: dx,
      entries: someOf(M * C).map((index) => {
        const [n, c] = [Math.floor(index / C), index % C];
        let dot = 0;
        for (let i = 0; i < C; i++) {
          dot += dy.data[n * C + i] * weight.data[i] * x.data[n * C + i];
        }
        const r = rstdOf(x.data, n, C);
        return {
          index,
          value: r * (dy.data[index] * weight.data[c] - x.data[index] * r ** 2 * dot / C),
        };
      }),
    },
  };
}

function normBackwardWeight(
  bench: BenchTensors,
  { config: { hiddenSize: C }, M }: KernelSizes,
): KernelCase {
  const { x, rstd, dy } = normTensors(bench, M, C);
  const dweight = bench.zeros("f32", [C]);
  return {
    kernel: "rmsnorm_backward_weight",
    shape: `${M} x ${C}`,
    flop: 3 * M * C,
    bytes: M * C * (4 + bytesOf(bench)),
    record: (commands) => rmsnormBackwardWeight(commands, dweight, dy.tensor, x.tensor, rstd),
    expected: {
      output: dweight,
      entries: someOf(C).map((index) => {
        let value = 0;
        for (let n = 0; n < M; n++) {
          value += dy.data[n * C + index] * x.data[n * C + index] * rstdOf(x.data, n, C);
        }
        return { index, value };
      }),
    },
  };
}

function rope(bench: BenchTensors, { config, M, sequence }: KernelSizes): KernelCase {
  const { numHeads: NH, numKvHeads: NKV, headSize: HS } = config;
  const row = (NH + 2 * NKV) * HS;
  const qkv = bench.operand([M, row]);
  const angles = ropeTable(config, sequence);
  const table = bench.zeros("f32", [sequence, HS]);
  writeTensor(bench.gpu, table, angles);
  const positions = bench.u32([M], Uint32Array.from({ length: M }, (_, n) => n % sequence));
  return {
    kernel: "rope",
    shape: `${M} x ${NH + NKV} heads of ${HS}`,
    flop: 3 * M * (NH + NKV) * HS,
    bytes: 2 * M * (NH + NKV) * HS * bytesOf(bench),
    record: (commands) => ropeForward(commands, qkv.tensor, table, positions, config),
    expected: {
      output: qkv.tensor,
      entries: someOf(M).map((n) => {
        const [cos, sin] = [angles[n % sequence * HS], angles[n % sequence * HS + HS / 2]];
        const [a, b] = [qkv.data[n * row], qkv.data[n * row + HS / 2]];
        return { index: n * row, value: a * cos - b * sin };
      }),
    },
  };
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

function gateForward(
  bench: BenchTensors,
  { config: { intermediateSize: F }, M }: KernelSizes,
): KernelCase {
  const gateUp = bench.operand([M, 2 * F]);
  const a = bench.zeros(bench.precision, [M, F]);
  return {
    kernel: "swiglu_forward",
    shape: `${M} x ${F}`,
    flop: 5 * M * F,
    bytes: 3 * M * F * bytesOf(bench),
    record: (commands) => swigluForward(commands, a, gateUp.tensor),
    expected: {
      output: a,
      entries: someOf(M * F).map((index) => {
        const at = Math.floor(index / F) * 2 * F + index % F;
        const gate = gateUp.data[at];
        return { index, value: gate * sigmoid(gate) * gateUp.data[at + F] };
      }),
    },
  };
}

function gateBackward(
  bench: BenchTensors,
  { config: { intermediateSize: F }, M }: KernelSizes,
): KernelCase {
  const gateUp = bench.operand([M, 2 * F]);
  const da = bench.operand([M, F]);
  const dgateUp = bench.zeros(bench.precision, [M, 2 * F]);
  return {
    kernel: "swiglu_backward",
    shape: `${M} x ${F}`,
    flop: 11 * M * F,
    bytes: 5 * M * F * bytesOf(bench),
    record: (commands) => swigluBackward(commands, dgateUp, da.tensor, gateUp.tensor),
    expected: {
      output: dgateUp,
      entries: someOf(M * F).map((index) => {
        const at = Math.floor(index / F) * 2 * F + index % F;
        const gate = gateUp.data[at];
        const slope = sigmoid(gate) * (1 + gate * (1 - sigmoid(gate)));
        return { index: at, value: da.data[index] * gateUp.data[at + F] * slope };
      }),
    },
  };
}

/** Token ids all over the vocabulary, some more than once. */
const someIds = (M: number, V: number) => Uint32Array.from({ length: M }, (_, n) => n * n * 31 % V);

function lookUp(bench: BenchTensors, { config: { hiddenSize: C, vocabSize: V }, M }: KernelSizes) {
  const weight = bench.operand([V, C]);
  const ids = someIds(M, V);
  const x = bench.zeros("f32", [M, C]);
  const tokens = bench.u32([M], ids);
  return {
    kernel: "embedding_forward",
    shape: `${M} x ${C} of ${V}`,
    flop: 0,
    bytes: M * C * (4 + bytesOf(bench)),
    record: (commands) => embeddingForward(commands, x, weight.tensor, tokens),
    expected: {
      output: x,
      entries: someOf(M).map((n) => ({ index: n * C, value: weight.data[ids[n] * C] })),
    },
  } satisfies KernelCase;
}

function lookUpBackward(
  bench: BenchTensors,
  { config: { hiddenSize: C, vocabSize: V }, M }: KernelSizes,
): KernelCase {
  const dx = bench.f32([M, C]);
  const tokens = someIds(M, V);
  const { ids, starts, occurrences } = groupById(tokens);
  const rows = {
    ids: bench.u32([ids.length], ids),
    starts: bench.u32([starts.length], starts),
    occurrences: bench.u32([M], occurrences),
  };
  const dweight = bench.zeros("f32", [V, C]);
  return {
    kernel: "embedding_backward",
    shape: `${M} x ${C} of ${V}`,
    flop: M * C,
    bytes: 4 * C * (M + 2 * ids.length),
    record: (commands) => embeddingBackward(commands, dweight, dx.tensor, rows),
    expected: {
      output: dweight,
      entries: someOf(M).map((n) => {
        let value = 0;
        for (const [other, id] of tokens.entries()) {
          if (id === tokens[n]) value += dx.data[other * C];
        }
        return { index: tokens[n] * C, value };
      }),
    },
  };
}

/** AdamW's first step over the largest matrix of a layer. */
function update(bench: BenchTensors, { config }: KernelSizes): KernelCase {
  const shape = [2 * config.intermediateSize, config.hiddenSize];
  const count = shape[0] * shape[1];
  const gradient = bench.f32(shape);
  const weight = bench.f32(shape);
  const m = bench.zeros("f32", shape);
  const v = bench.zeros("f32", shape);
  const options = {
    learningRate: 0.01,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: 0.1,
    decaying: count,
  };
  const state = bench.zeros("u32", [STATE_WORDS]);
  const words = new Float32Array(STATE_WORDS);
  words[STATE.multiplier] = 1;
  writeTensor(bench.gpu, state, words);
  const correction = bench.zeros("u32", [CORRECTION_WORDS]);
  const biases = new Float32Array(CORRECTION_WORDS);
  biases[CORRECTION.bias1] = 1 - options.beta1;
  biases[CORRECTION.bias2] = 1 - options.beta2;
  writeTensor(bench.gpu, correction, biases);
  return {
    kernel: "adamw",
    shape: shape.join(" x "),
    flop: 15 * count,
    bytes: 28 * count,
    record: (commands) =>
      adamw(
        commands,
        { weight: weight.tensor, m, v, gradient: gradient.tensor, state, correction },
        options,
      ),
    expected: {
      output: weight.tensor,
      entries: someOf(count).map((index) => {
        // At the first step mean / sqrt(mean square) is the gradient's sign.
        const g = gradient.data[index];
        const decayed = weight.data[index] * (1 - options.learningRate * options.weightDecay);
        return {
          index,
          value: decayed - options.learningRate * g / (Math.abs(g) + options.epsilon),
        };
      }),
    },
  };
}
