import assert from "node:assert/strict";
import { readTensorU32, type Tensor } from "../../src/gpu/tensor.ts";
import {
  countsStride,
  GREEDY,
  NO_TOKEN,
  sample,
  type Sampling,
  samplingSettings,
  tokenCounts,
} from "../../src/kernels/sample.ts";
import { filteredDistribution, race, type TokenCounts } from "../reference/sample.ts";
import { assertClose, forEachVariant, gpu, output, read, run, upload, values } from "./harness.ts";
import { writeTensor } from "../../src/gpu/tensor.ts";
import { GOLDEN } from "../e2e/golden.ts";

const plain: Sampling = { ...GREEDY, temperature: 1, seed: 7 };

interface Row {
  logits: ArrayLike<number>;
  counts?: TokenCounts;
  settings: Sampling;
  position?: number;
}

/** Samples rows of one vocabulary; `stride` lets rows stand apart, with NaN between them. */
async function sampleRows(rows: Row[], stride = rows[0].logits.length) {
  const V = rows[0].logits.length;
  const B = rows.length;
  const logits = output([B, stride]);
  const data = new Float32Array(B * stride).fill(NaN);
  for (const [b, row] of rows.entries()) data.set(Float32Array.from(row.logits), b * stride);
  writeTensor(gpu, logits, data);
  const tensor = (data: Uint32Array): Tensor => upload(data, [B, data.length / B]);
  // Slots in reverse, to see that each row finds its own.
  const slotOf = (b: number) => B - 1 - b;
  const countRows = rows.map(({ counts }) =>
    tokenCounts(V, counts?.prompt ?? [], counts?.drawn, counts?.bias)
  );
  const counts = upload(
    Uint32Array.from(countRows.toReversed().flatMap((row) => [...row])),
    [B, countsStride(V), 2],
  );
  const next = upload(new Uint32Array(B).fill(0xdeadbeef), [B]);
  const lengths = tensor(
    Uint32Array.from(rows.flatMap((row, b) => [100 * b, 1 + (row.position ?? 0)])),
  );
  const history = tensor(
    Uint32Array.from(rows.flatMap((_, b) => [b % 4, 1000 + b, 2000 + b, 3000 + b])),
  );
  const settings = tensor(
    samplingSettings(rows.map((row, b) => ({ ...row.settings, slot: slotOf(b) }))),
  );
  run((commands) => sample(commands, next, logits, V, counts, settings, lengths, history));
  const all = await read(logits);
  return {
    next: await readTensorU32(gpu, next),
    lengths: await readTensorU32(gpu, lengths),
    history: await readTensorU32(gpu, history),
    counts: await readTensorU32(gpu, counts),
    countsOf(b: number) {
      const width = 2 * countsStride(V);
      return this.counts.slice(slotOf(b) * width, (slotOf(b) + 1) * width);
    },
    probabilities: rows.map((_, b) => all.subarray(b * stride, b * stride + V)),
    between: rows.flatMap((_, b) => [...all.subarray(b * stride + V, (b + 1) * stride)]),
  };
}

// Exponentials of scores up to 50 in size carry an error of 50 units; the rest is far below.
const tolerance = { absolute: 2e-6, relative: 1e-4 };

const filters: Sampling[] = [
  plain,
  { ...plain, temperature: 0.3 },
  { ...plain, topK: 1 },
  { ...plain, topK: 5, temperature: 2 },
  { ...plain, topP: 0.5, temperature: 1.5 },
  { ...plain, topP: 0 },
  { ...plain, topK: 12, topP: 0.9 },
  { ...plain, repetitionPenalty: 1.7 },
  { ...plain, temperature: 0, repetitionPenalty: 3 },
  { ...plain, topK: 100000, topP: 0.999 },
  { ...plain, minP: 0.1 },
  { ...plain, minP: 1e-3, topP: 0.9, temperature: 2 },
  { ...plain, frequencyPenalty: 1.5 },
  { ...plain, presencePenalty: 2, frequencyPenalty: -0.5, repetitionPenalty: 1.2 },
];

/** Some tokens of a vocabulary, the same every time. */
const tokens = (seed: number, count: number, V: number): number[] =>
  [...values(seed, count)].map((value) => Math.floor((value + 1) / 2 * V));

Deno.test("sample leaves the filtered distribution, and draws as the reference does", () =>
  forEachVariant("sample", async () => {
    for (const V of [1, 7, 64, 65, 1031]) {
      const rows = filters.map((settings, b) => ({
        logits: values(b, V, "f32", 8),
        counts: {
          prompt: tokens(100 + b, 9, V),
          drawn: tokens(200 + b, 5, V).flatMap((token, i) => Array(i).fill(token)),
          bias: new Map(tokens(300 + b, 3, V).map((token, i) => [token, 3 * i - 4])),
        },
        settings: { ...settings, sequence: b },
        position: 3 * b,
      }));
      const found = await sampleRows(rows, V + 5);
      assert.ok(found.between.every(Number.isNaN), "wrote between the rows");
      for (const [b, row] of rows.entries()) {
        const name = `V ${V}, ${JSON.stringify(row.settings)}`;
        const p = filteredDistribution(row.logits, row.counts, row.settings);
        assertClose(found.probabilities[b], p, { ...tolerance, name });
        const scores = race(p, row.settings, row.position);
        const token = found.next[b];
        // A token within rounding of the best may win.
        assertClose([scores[token]], [Math.max(...scores)], { absolute: 1e-4, name });
        const { prompt, drawn, bias } = row.counts;
        const counts = tokenCounts(V, prompt, [...drawn, token], bias);
        assert.deepEqual(found.countsOf(b), counts, `${name}: counts`);
        assert.deepEqual([...found.lengths.slice(2 * b, 2 * b + 2)], [100 * b, row.position + 2]);
        const before = [b % 4, 1000 + b, 2000 + b, 3000 + b];
        const isFull = b % 4 === 3;
        const history = isFull ? before : before.with(0, b % 4 + 1).with(1 + b % 4, token);
        assert.deepEqual([...found.history.slice(4 * b, 4 * b + 4)], history, `${name}: history`);
      }
    }
  }));

Deno.test("greedy takes the lowest id of equal logits; ties with the k-th stay", () =>
  forEachVariant("sample", async () => {
    const logits = Array.from({ length: 200 }, (_, v) => [70, 131, 134].includes(v) ? 2 : -v);
    const { next, probabilities } = await sampleRows([
      { logits, settings: { ...plain, temperature: 0 } },
      { logits, settings: { ...plain, topK: 1 } },
    ]);
    assert.equal(next[0], 70);
    assert.equal(probabilities[0][70], 1);
    const kept = [...probabilities[1].keys()].filter((token) => probabilities[1][token] > 0);
    assert.deepEqual(kept, [70, 131, 134]);
  }));

Deno.test("the best of many tokens wins the race", async () => {
  const logits = values(2, 1031);
  const rows = Array.from(
    { length: 200 },
    (_, position) => ({ logits, position, settings: plain }),
  );
  const p = filteredDistribution(logits, {}, plain);
  for (const [position, token] of (await sampleRows(rows)).next.entries()) {
    const scores = race(p, plain, position);
    assertClose([scores[token]], [Math.max(...scores)], { absolute: 1e-4, name: `${position}` });
  }
});

Deno.test("a draw depends on seed, sequence and position, not on the batch", async () => {
  const logits = values(1, 500, "f32", 2);
  const row = (sequence: number, position: number, seed = 7): Row => ({
    logits,
    position,
    settings: { ...plain, sequence, seed },
  });
  const rows = [row(0, 0), row(1, 0), row(0, 1), row(0, 0, 8), row(5, 9)];
  const together = (await sampleRows(rows)).next;
  const reversed = (await sampleRows(rows.toReversed())).next;
  assert.deepEqual(reversed.toReversed(), together);
  assert.deepEqual((await sampleRows([rows[4]])).next[0], together[4]);
  assert.ok(new Set(together).size >= 4, `seed, sequence, position change the draw: ${together}`);
});

Deno.test("tokens come as often as their probability says", async () => {
  const settings = { ...plain, topK: 6, temperature: 1.2 };
  const logits = [0.5, -1, 2, 1, -3, 0, 1.5, -0.5];
  const rows = Array.from({ length: 4000 }, (_, i) => ({
    logits,
    position: i % 500,
    settings: { ...settings, sequence: Math.floor(i / 500) },
  }));
  const counts = new Array(8).fill(0);
  for (const token of (await sampleRows(rows)).next) counts[token]++;
  const p = filteredDistribution(logits, {}, settings);
  assert.equal(counts[1] + counts[4], 0, "drew a token that was filtered out");
  const kept = [...p.keys()].filter((token) => p[token] > 0);
  const chiSquare = kept.reduce(
    (sum, token) => sum + (counts[token] - 4000 * p[token]) ** 2 / (4000 * p[token]),
    0,
  );
  // Five degrees of freedom: 20.5 is exceeded once in a thousand seeds, and the seed is fixed.
  assert.ok(chiSquare < 20.5, `chi-square ${chiSquare} of counts ${counts}`);
});

Deno.test("NaN or infinity among the scores, or nothing else, is no token, whatever the settings", () =>
  forEachVariant("sample", async () => {
    const V = 200;
    const none = new Map(Array.from({ length: V }, (_, v) => [v, -Infinity]));
    const broken: [string, number | null, TokenCounts?][] = [
      ["NaN", NaN],
      ["+infinity", Infinity],
      ["a NaN bias", null, { bias: new Map([[151, NaN]]) }],
      ["all forbidden", null, { bias: none }],
    ];
    const whole: typeof broken = [
      ["-infinity", -Infinity],
      ["all but one forbidden", null, { bias: new Map([...none].filter(([v]) => v !== 151)) }],
    ];
    const settings = [
      { ...plain, temperature: 0 },
      plain,
      { ...plain, topK: 5, topP: 0.9, minP: 0.01, repetitionPenalty: 1.5, frequencyPenalty: 1 },
    ];
    for (const [name, value, counts] of [...broken, ...whole]) {
      const logits = Array.from(values(4, V, "f32", 8));
      if (value !== null) logits[151] = value;
      // Sound rows beside it keep their tokens.
      const beside = { logits: values(5, V, "f32", 8), settings: { ...plain, temperature: 0 } };
      const found = await sampleRows([
        beside,
        ...settings.map((settings) => ({ logits, counts, settings })),
        beside,
      ]);
      const best = beside.logits.indexOf(Math.max(...beside.logits));
      assert.deepEqual([found.next[0], found.next[4]], [best, best], name);
      for (const b of settings.keys()) {
        const token = found.next[1 + b];
        const isBroken = broken.some(([each]) => each === name);
        if (isBroken) assert.equal(token, NO_TOKEN, `${name}, settings ${b}`);
        else if (counts) assert.equal(token, 151, `${name}, settings ${b}`);
        else assert.ok(token < V && token !== 151, `${name}, settings ${b}: ${token}`);
        const before = tokenCounts(V, [], isBroken ? [] : [token], counts?.bias);
        assert.deepEqual(found.countsOf(1 + b), before, `${name}, settings ${b}: counts`);
      }
    }
  }));

Deno.test("a temperature next to 0 takes the likeliest, as 0 does", async () => {
  const logits = values(6, 500, "f32", 20);
  const likeliest = logits.indexOf(Math.max(...logits));
  const temperatures = [0, 1e-45, 1e-40, 1e-38, 1e-20, 1e-7, 1e-6];
  const rows = temperatures.map((temperature) => ({ logits, settings: { ...plain, temperature } }));
  const { next } = await sampleRows(rows);
  assert.deepEqual([...next], temperatures.map(() => likeliest));
});

Deno.test("settings out of range are refused by name", () => {
  assert.throws(() => samplingSettings([{ ...plain, topP: 1.5, slot: 0 }]), {
    name: "RangeError",
    message: "sample: expected topP to be a number from 0 to 1, found 1.5",
  });
  assert.throws(
    () => samplingSettings([{ ...plain, topK: -1, slot: 0 }]),
    /expected topK to be a whole/,
  );
});

Deno.test("sample equals the golden distributions", async () => {
  const text = await Deno.readTextFile(`${GOLDEN}/sampling/sampling.jsonl`);
  const cases = text.trimEnd().split("\n").map((line) => JSON.parse(line));
  for (const { logits, temperature, top_k, top_p, kept, probs } of cases) {
    const settings = { ...plain, temperature, topK: top_k, topP: top_p };
    const { next, probabilities } = await sampleRows([{ logits, settings }]);
    const expected = new Float64Array(logits.length);
    for (const [i, token] of kept.entries()) expected[token] = probs[i];
    const name = JSON.stringify(settings);
    const found = [...probabilities[0].keys()].filter((token) => probabilities[0][token] > 0);
    // A probability below the smallest float is kept, and is 0.
    const representable = kept.filter((token: number) => expected[token] > 1e-37);
    assert.deepEqual(found, representable, name);
    assertClose(probabilities[0], expected, { absolute: 2e-5, relative: 1e-3, name });
    assert.ok(kept.includes(next[0]), `${name}: drew ${next[0]}`);
  }
});
