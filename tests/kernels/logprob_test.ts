import {
  logprobBackward,
  logprobForward,
  logprobSquares,
  NO_POSITION,
  sequenceConfidence,
  sequenceScore,
} from "../../src/kernels/logprob.ts";
import * as reference from "../reference/logprob.ts";
import {
  assertClose,
  EPSILON,
  forEachVariant,
  output,
  random,
  read,
  run,
  upload,
  values,
} from "./harness.ts";

/** Rows with none, one and two scored positions, two sequences, weights of both signs. */
function example(R: number, V: number) {
  const next = random(R * V);
  const scored: reference.Scored[] = [];
  for (const sequence of [0, 1]) {
    for (let row = sequence; row < R; row += 1 + sequence) {
      const target = Math.floor((next() + 1) / 2 * V);
      scored.push({ row, target, sequence, weight: Math.fround(next()) });
    }
  }
  const rowScored = new Uint32Array(2 * R).fill(NO_POSITION);
  for (const [position, { row }] of scored.entries()) {
    rowScored[2 * row + Number(rowScored[2 * row] !== NO_POSITION)] = position;
  }
  const bits = new Uint32Array(Float32Array.from(scored, (entry) => entry.weight).buffer);
  const words = scored.flatMap(({ row, target, sequence }, i) => [row, target, sequence, bits[i]]);
  const split = scored.findIndex((entry) => entry.sequence === 1);
  const end = split < 0 ? scored.length : split;
  const sequences = [0, Math.floor(end / 2), end, 1, end, end, scored.length, 0];
  return {
    scored,
    end,
    tensors: {
      rowScored: upload(rowScored, [R, 2]),
      scored: upload(Uint32Array.from(words), [scored.length, 4]),
      sequences: upload(Uint32Array.from(sequences), [2, 4]),
    },
  };
}

// V below and just over the workgroup's 128 threads, primes, and SmolLM's vocabulary.
for (const [R, V] of [[1, 1], [5, 127], [7, 131], [3, 263], [2, 49152]]) {
  Deno.test(`logprob_forward, sequence_score and logprob_backward equal the reference, R ${R} V ${V}`, () =>
    forEachVariant("logprob", async () => {
      const stride = Math.ceil(V / 4) * 4;
      const { scored, end, tensors } = example(R, V);
      const data = values(2, R * stride, "f32", 20);
      const logits = output([R, stride]);
      const lse = output([R, 2]);
      const logprob = output([scored.length]);
      const scores = output([2, 4]);
      const dscore = values(3, 2);
      const start = upload(data, [R, stride]);
      run((commands) => {
        commands.copy(logits, start);
        // Two chunks where there are two rows: the second starts at row 1.
        const chunk = { ...logits, shape: [1, stride] };
        if (R === 2) {
          for (const firstRow of [0, 1]) {
            commands.copy(chunk, start, { sourceByte: firstRow * stride * 4, bytes: stride * 4 });
            logprobForward(commands, lse, logprob, chunk, tensors, { V, firstRow });
          }
          commands.copy(logits, start);
        } else {
          logprobForward(commands, lse, logprob, logits, tensors, { V, firstRow: 0 });
        }
        sequenceScore(commands, scores, logprob, tensors, { first: 0, count: 2 });
        logprobBackward(commands, logits, lse, upload(dscore, [2]), tensors, { V, firstRow: 0 });
      });
      const expectedLse = reference.logSumExp(data, R, V, stride);
      const expected = scored.map(({ row, target }) =>
        data[row * stride + target] - expectedLse[row]
      );
      // exp and log of a GPU may be off by 3 units and more for large arguments (WGSL, 15.7.4); logits reach 20.
      const tolerance = { absolute: 2e-5, relative: 8 * EPSILON.f32 };
      const parts = await read(lse);
      const lseSums = expectedLse.map((_, r) => parts[2 * r] + parts[2 * r + 1]);
      assertClose(lseSums, expectedLse, { ...tolerance, name: "lse" });
      assertClose(await read(logprob), expected, { ...tolerance, name: "logprob" });
      const sum = (from: number, to: number, weighted: boolean) =>
        scored.slice(from, to).reduce(
          (total, { weight }, i) => total + expected[from + i] * (weighted ? weight : 1),
          0,
        );
      const expectedScores = [
        [
          sum(end, scored.length, true),
          sum(end, scored.length, false),
          sum(end, scored.length, false),
        ],
        [sum(0, end, true), sum(Math.floor(end / 2), end, false), sum(0, end, false)],
      ].flatMap((row) => [...row, 0]);
      assertClose(await read(scores), expectedScores, {
        absolute: 1e-4,
        relative: 1e-6,
        name: "scores",
      });
      assertClose(
        await read(logits),
        reference.logprobBackward(data, scored, dscore, { R, V, stride }),
        { absolute: 1e-7, relative: 1e-4, name: "dlogits" },
      );
    }));
}

Deno.test("logprob_backward keeps its digits where logits are far from 0", async () => {
  const [R, V] = [2, 131];
  const stride = 132;
  const { scored, tensors } = example(R, V);
  const data = values(4, R * stride).map((value) => Math.fround(value + 4096));
  const [logits, lse, logprob] = [output([R, stride]), output([R, 2]), output([scored.length])];
  const dscore = values(3, 2);
  run((commands) => {
    commands.copy(logits, upload(data, [R, stride]));
    logprobForward(commands, lse, logprob, logits, tensors, { V, firstRow: 0 });
    logprobBackward(commands, logits, lse, upload(dscore, [2]), tensors, { V, firstRow: 0 });
  });
  const expected = reference.logprobBackward(data, scored, dscore, { R, V, stride });
  // One number for the logarithm of the sum of exponentials would be off by up to 2^-12, and so would every probability.
  assertClose(await read(logits), expected, { absolute: 1e-8, relative: 1e-5 });
});

for (const [R, V] of [[1, 1], [5, 127], [7, 131], [2, 49152]]) {
  Deno.test(`logprob_squares and sequence_confidence equal the reference, R ${R} V ${V}`, () =>
    forEachVariant("logprob", async () => {
      const stride = Math.ceil(V / 4) * 4;
      const { scored, end, tensors } = example(R, V);
      // Flat rows and peaked ones.
      const data = values(5, R * stride, "f32", 20).map((value, i) =>
        Math.fround(Math.floor(i / stride) % 2 === 0 ? value : value / 100)
      );
      const [logits, lse, logprob] = [
        upload(data, [R, stride]),
        output([R, 2]),
        output([scored.length]),
      ];
      const [squares, scores] = [output([scored.length]), output([2, 4])];
      run((commands) => {
        logprobForward(commands, lse, logprob, logits, tensors, { V, firstRow: 0 });
        logprobSquares(commands, squares, logits, lse, tensors, { V, firstRow: 0 });
        sequenceScore(commands, scores, logprob, tensors, { first: 0, count: 2 });
        sequenceConfidence(commands, scores, logprob, squares, tensors, { first: 0, count: 2 });
      });
      const expectedLse = reference.logSumExp(data, R, V, stride);
      // Squares of probabilities: the log-sum-exp of twice the logits, less twice that of the logits.
      const twice = reference.logSumExp(data.map((value) => 2 * value), R, V, stride);
      const expected = scored.map(({ row }) => twice[row] - 2 * expectedLse[row]);
      const tolerance = { absolute: 4e-5, relative: 8 * EPSILON.f32 };
      assertClose(await read(squares), expected, { ...tolerance, name: "squares" });
      const confidence = (from: number, to: number) => {
        const own = scored.slice(from, to).map(({ row, target }, i) =>
          data[row * stride + target] - expectedLse[row] - expected[from + i]
        );
        return own.reduce((sum, value) => sum + value, 0) / Math.max(1, own.length);
      };
      const found = await read(scores);
      assertClose([found[3], found[7]], [
        confidence(end, scored.length),
        confidence(Math.floor(end / 2), end),
      ], { absolute: 5e-5, relative: 1e-6, name: "confidence" });
    }));
}
