/** Kernels whose grids follow tokens, rows or the vocabulary, beyond the 65,535 workgroups of one dimension. */
import assert from "node:assert/strict";
import { attentionBackward, attentionForward } from "../../src/kernels/attention.ts";
import { logprobBackward, logprobForward, sequenceScore } from "../../src/kernels/logprob.ts";
import { matvecForward } from "../../src/kernels/matvec.ts";
import { qkNormBackward, qkNormForward } from "../../src/kernels/qk_norm.ts";
import { rmsnormBackward, rmsnormForward } from "../../src/kernels/rmsnorm.ts";
import { qkNormForward as qkNormReference } from "../reference/qk_norm.ts";
import { rmsnormForward as rmsnormReference } from "../reference/rmsnorm.ts";
import {
  assertClose,
  EPSILON,
  forEachVariant,
  output,
  read,
  run,
  upload,
  values,
} from "./harness.ts";

const MANY = 65_601;

Deno.test("rows of a norm", () =>
  forEachVariant("rmsnorm", async () => {
    const C = 4;
    const x = values(1, MANY * C);
    const [y, rstd, dx] = [output([MANY, C]), output([MANY]), output([MANY, C])];
    const [input, gain] = [upload(x, [MANY, C]), upload(Float32Array.of(1, 1, 1, 1), [C])];
    run((commands) => {
      rmsnormForward(commands, y, rstd, input, gain, 1e-2);
      commands.copy(dx, upload(new Float32Array(MANY * C), [MANY, C]));
      rmsnormBackward(commands, dx, input, input, gain, rstd);
    });
    const expected = rmsnormReference(x, Float32Array.of(1, 1, 1, 1), MANY, C, 1e-2);
    assertClose(await read(y), expected.y, { absolute: 1e-6, relative: 4 * EPSILON.f32 });
    // dy = x: what is left is rstd eps x / (mean square + eps).
    const gradient = x.map((value, i) => 1e-2 * value * expected.rstd[Math.floor(i / C)] ** 3);
    assertClose(await read(dx), gradient, { absolute: 1e-5 });
  }));

Deno.test("heads of a QK norm", () =>
  forEachVariant("rmsnorm", async () => {
    const heads = { numHeads: 22, numKvHeads: 1, headSize: 8 };
    const [N, row, normalized] = [2_900, 24 * 8, 23]; // 69,600 heads, of which 66,700 are normalized
    const x = values(1, N * row);
    const [qkv, rstd, dqkv] = [output([N, row]), output([N, normalized]), output([N, row])];
    const [input, gains] = [upload(x, [N, row]), upload(new Float32Array(16).fill(1), [16])];
    run((commands) => {
      qkNormForward(commands, qkv, rstd, input, gains, heads, 1e-2);
      commands.copy(dqkv, input);
      qkNormBackward(commands, dqkv, input, gains, rstd, heads);
    });
    const expected = qkNormReference(x, new Float32Array(16).fill(1), N, heads, 1e-2);
    assertClose(await read(qkv), expected.qkv, { absolute: 1e-6, relative: 4 * EPSILON.f32 });
    // As above; value heads stay as they are.
    const gradient = x.map((value, i) => {
      const [n, h] = [Math.floor(i / row), Math.floor(i % row / 8)];
      return h < normalized ? 1e-2 * value * expected.rstd[n * normalized + h] ** 3 : value;
    });
    assertClose(await read(dqkv), gradient, { absolute: 1e-5 });
  }));

Deno.test("scored rows and sequences", () =>
  forEachVariant("logprob", async () => {
    const V = 4;
    const data = values(2, MANY * V);
    const rowScored = new Uint32Array(2 * MANY);
    const entries = new Uint32Array(4 * MANY);
    const sequences = new Uint32Array(4 * MANY);
    const one = new Uint32Array(Float32Array.of(1).buffer)[0];
    for (let r = 0; r < MANY; r++) {
      rowScored.set([r, 0xffffffff], 2 * r);
      entries.set([r, r % V, r, one], 4 * r);
      sequences.set([r, r, r + 1, r], 4 * r);
    }
    const tensors = {
      rowScored: upload(rowScored, [MANY, 2]),
      scored: upload(entries, [MANY, 4]),
      sequences: upload(sequences, [MANY, 4]),
    };
    const [logits, lse, logprob] = [output([MANY, V]), output([MANY, 2]), output([MANY])];
    const scores = output([MANY, 4]);
    run((commands) => {
      commands.copy(logits, upload(data, [MANY, V]));
      logprobForward(commands, lse, logprob, logits, tensors, { V, firstRow: 0 });
      sequenceScore(commands, scores, logprob, tensors, { first: 0, count: MANY });
      const dscore = upload(new Float32Array(MANY).fill(1), [MANY]);
      logprobBackward(commands, logits, lse, dscore, tensors, { V, firstRow: 0 });
    });
    const p = (i: number) => {
      const row = data.subarray(Math.floor(i / V) * V, Math.floor(i / V) * V + V);
      return Math.exp(data[i]) / row.reduce((sum, value) => sum + Math.exp(value), 0);
    };
    const expected = Float64Array.from({ length: MANY }, (_, r) => Math.log(p(r * V + r % V)));
    assertClose(await read(logprob), expected, { absolute: 2e-6 });
    const found = await read(scores);
    assertClose(expected.map((_, r) => found[4 * r]), expected, { absolute: 2e-6 });
    const gradient = data.map((_, i) => Number(i % V === Math.floor(i / V) % V) - p(i));
    assertClose(await read(logits), gradient, { absolute: 2e-6 });
  }));

Deno.test("tiles of attention", () =>
  forEachVariant("attention", async () => {
    // Each row sees itself alone: its output is its value, and its gradient goes to the value.
    const heads = { numHeads: 1, numKvHeads: 1, headSize: 8 };
    const qkv = values(3, MANY * 24);
    const queryTiles = new Uint32Array(8 * MANY);
    const keyTiles = new Uint32Array(4 * MANY);
    for (let r = 0; r < MANY; r++) {
      queryTiles.set([r, 1, 0, 0, r, r], 8 * r);
      keyTiles.set([r, 1, r + 1], 4 * r);
    }
    const [out, lse] = [output([MANY, 8]), output([MANY, 1])];
    const [dqkv, delta] = [output([MANY, 24]), output([MANY, 1])];
    const dout = values(4, MANY * 8);
    run((commands) => {
      const [input, queries] = [upload(qkv, [MANY, 24]), upload(queryTiles, [MANY, 8])];
      const [upstream, keys] = [upload(dout, [MANY, 8]), upload(keyTiles, [MANY, 4])];
      attentionForward(commands, out, lse, input, queries, heads);
      attentionBackward(commands, dqkv, delta, upstream, input, out, lse, queries, keys, heads);
    });
    const value = (i: number) => qkv[Math.floor(i / 8) * 24 + 16 + i % 8];
    assertClose(await read(out), dout.map((_, i) => value(i)), { absolute: 1e-6 });
    const gradient = qkv.map((_, i) =>
      i % 24 < 16 ? 0 : dout[Math.floor(i / 24) * 8 + i % 24 - 16]
    );
    assertClose(await read(dqkv), gradient, { absolute: 2e-6 });
  }));

Deno.test("columns of a product for a large vocabulary", () =>
  forEachVariant("matvec", async () => {
    const [N, K] = [262_148, 4]; // 65,537 workgroups of four columns
    const x = Float32Array.of(1, 0, 0, 0, 0, 1, 0, 0);
    const weight = values(5, N * K);
    const y = output([2, N]);
    run((commands) => matvecForward(commands, y, upload(x, [2, K]), upload(weight, [N, K])));
    const found = await read(y);
    for (const row of [0, 1]) {
      const expected = Float32Array.from({ length: N }, (_, n) => weight[n * K + row]);
      assert.deepEqual(found.subarray(row * N, (row + 1) * N), expected);
    }
  }));
