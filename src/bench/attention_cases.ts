// This module is browser compatible.
import { Commands } from "../gpu/commands.ts";
import { attentionBackward, attentionForward } from "../kernels/attention.ts";
import { packTokens } from "../model/batch.ts";
import type { BenchTensors } from "./bench_tensors.ts";
import { type CaseMaker, type KernelCase, type KernelSizes, someOf } from "./kernel_case.ts";

/** Causal attention over a batch of sequences of equal length, forward and backward. */
export function attentionCases(sizes: KernelSizes): CaseMaker[] {
  return [(bench) => forward(setUp(bench, sizes)), (bench) => backward(setUp(bench, sizes))];
}

function setUp(bench: BenchTensors, { config, M, sequence }: KernelSizes) {
  const { numHeads: NH, numKvHeads: NKV, headSize: HS } = config;
  const sequences = M / sequence;
  const trees = Array.from(
    { length: sequences },
    () => ({ prefix: [], branches: [new Uint32Array(sequence)] }),
  );
  const { queryTiles, keyTiles } = packTokens(trees);
  const size = bench.precision === "f16" ? 2 : 4;
  return {
    bench,
    config,
    M,
    sequence,
    row: (NH + 2 * NKV) * HS,
    qkv: bench.operand([M, (NH + 2 * NKV) * HS]),
    queryTiles: bench.u32([queryTiles.length / 8, 8], queryTiles),
    keyTiles: bench.u32([keyTiles.length / 4, 4], keyTiles),
    out: bench.zeros(bench.precision, [M, NH * HS]),
    lse: bench.zeros("f32", [M, NH]),
    shape: `${sequences} x ${sequence} tokens, ${NH}/${NKV} heads of ${HS}`,
    // Two products, of queries with keys and of weights with values.
    flop: 4 * NH * HS * sequences * sequence * (sequence + 1) / 2,
    qkvBytes: M * (NH + 2 * NKV) * HS * size,
    outBytes: M * NH * HS * size,
  };
}

type SetUp = ReturnType<typeof setUp>;

/** Row n's weights on the keys of its sequence, under query head h. */
function weightsOf({ config, qkv, row, sequence }: SetUp, n: number, h: number) {
  const { numHeads: NH, numKvHeads: NKV, headSize: HS } = config;
  const keyHead = NH + Math.floor(h * NKV / NH);
  const first = n - n % sequence;
  const scores = Array.from({ length: n - first + 1 }, (_, j) => {
    let dot = 0;
    for (let i = 0; i < HS; i++) {
      dot += qkv.data[n * row + h * HS + i] * qkv.data[(first + j) * row + keyHead * HS + i];
    }
    return dot / Math.sqrt(HS);
  });
  const sum = scores.reduce((total, score) => total + Math.exp(score), 0);
  const weights = scores.map((score) => Math.exp(score) / sum);
  return { weights, first, key: keyHead * HS, value: (keyHead + NKV) * HS };
}

function forward(setup: SetUp): KernelCase {
  const { config, M, qkv, queryTiles, out, lse, shape, flop, qkvBytes, outBytes, row } = setup;
  const width = config.numHeads * config.headSize;
  return {
    kernel: "attention_forward",
    shape,
    flop,
    bytes: qkvBytes + outBytes,
    record: (commands) => attentionForward(commands, out, lse, qkv.tensor, queryTiles, config),
    expected: {
      output: out,
      entries: someOf(M * width).map((index) => {
        const [n, c] = [Math.floor(index / width), index % width];
        const i = c % config.headSize;
        const { weights, first, value } = weightsOf(setup, n, Math.floor(c / config.headSize));
        const terms = weights.map((w, j) => w * qkv.data[(first + j) * row + value + i]);
        return { index, value: terms.reduce((a, b) => a + b) };
      }),
    },
  };
}

function backward(setup: SetUp): KernelCase {
  const { bench, config, M, qkv, queryTiles, keyTiles, out, lse, row } = setup;
  const { numHeads: NH, headSize: HS } = config;
  const dout = bench.operand([M, NH * HS]);
  const dqkv = bench.zeros(bench.precision, [M, row]);
  const delta = bench.zeros("f32", [M, NH]);
  const first = new Commands(bench.gpu);
  attentionForward(first, out, lse, qkv.tensor, queryTiles, config);
  first.submit();
  return {
    kernel: "attention_backward",
    shape: setup.shape,
    flop: 2.5 * setup.flop, // five products instead of two
    bytes: 2 * setup.qkvBytes + 2 * setup.outBytes,
    record: (commands) =>
      attentionBackward(
        commands,
        dqkv,
        delta,
        dout.tensor,
        qkv.tensor,
        out,
        lse,
        queryTiles,
        keyTiles,
        config,
      ),
    expected: {
      output: dqkv,
      entries: someOf(M).flatMap((
        n,
      ) => [queryEntry(setup, dout.data, n), valueEntry(setup, dout.data, n)]),
    },
  };
}

/** dq[n,0,0] = sum_j p[j] (dp[j] - sum_k p[k] dp[k]) k[j,0] / sqrt(HS), with dp[j] = dot(dout[n], v[j]). */
function queryEntry(setup: SetUp, dout: Float32Array, n: number) {
  const { config: { numHeads: NH, headSize: HS }, qkv, row } = setup;
  const { weights, first, key, value } = weightsOf(setup, n, 0);
  const dp = weights.map((_, j) => {
    let dot = 0;
    for (let i = 0; i < HS; i++) {
      dot += dout[n * NH * HS + i] * qkv.data[(first + j) * row + value + i];
    }
    return dot;
  });
  const mean = weights.reduce((sum, p, j) => sum + p * dp[j], 0);
  const dq = weights.reduce(
    (sum, p, j) => sum + p * (dp[j] - mean) * qkv.data[(first + j) * row + key],
    0,
  );
  return { index: n * row, value: dq / Math.sqrt(HS) };
}

/** dv[n,0] of the first value head: sum of p dout over the rows and the query heads that see it. */
function valueEntry(setup: SetUp, dout: Float32Array, n: number) {
  const { config: { numHeads: NH, numKvHeads: NKV, headSize: HS }, row, sequence } = setup;
  const end = n - n % sequence + sequence;
  let dv = 0;
  for (let query = n; query < end; query++) {
    for (let h = 0; h < NH / NKV; h++) {
      dv += weightsOf(setup, query, h).weights[n % sequence] * dout[query * NH * HS + h * HS];
    }
  }
  return { index: n * row + (NH + NKV) * HS, value: dv };
}
