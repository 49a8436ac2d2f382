import assert from "node:assert/strict";
import { epochOrder, largestMicroBatch, planData, positionOf } from "../../src/train/order.ts";

Deno.test("an epoch takes every row once; its last step takes what is left", () => {
  const plan = planData(10, 4, 2, -1);
  assert.equal(plan.totalSteps, 6);
  const spans = Array.from({ length: 6 }, (_, step) => positionOf(step, plan));
  assert.deepEqual(spans.map(({ epoch }) => epoch), [0, 0, 0, 1, 1, 1]);
  assert.deepEqual(spans.map(({ begin, end }) => end - begin), [4, 4, 2, 4, 4, 2]);
});

Deno.test("max_steps overrides the epochs, both ways; epochs may be a fraction", () => {
  assert.equal(planData(10, 4, 2, 4).totalSteps, 4);
  assert.equal(planData(10, 4, 2, 40).totalSteps, 40);
  assert.equal(planData(100, 10, 0.25, -1).totalSteps, 3);
});

Deno.test("the order is a permutation that depends on seed and epoch alone", () => {
  const of = (seed: number, epoch: number) => epochOrder(101, { shuffle: true, seed, epoch });
  const sorted = Uint32Array.from({ length: 101 }, (_, i) => i);
  assert.deepEqual(of(1, 0).toSorted(), sorted);
  assert.deepEqual(of(1, 0), of(1, 0));
  assert.notDeepEqual(of(1, 0), of(1, 1));
  assert.notDeepEqual(of(1, 0), of(2, 0));
  assert.deepEqual(epochOrder(101, { shuffle: false, seed: 1, epoch: 3 }), sorted);
});

Deno.test("every row is about equally likely at every place", () => {
  const rows = 8, epochs = 4000;
  const counts = new Float64Array(rows * rows);
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (const [place, row] of epochOrder(rows, { shuffle: true, seed: 7, epoch }).entries()) {
      counts[place * rows + row]++;
    }
  }
  // Chi-square over 64 cells has 49 degrees of freedom: above 94 one time in ten thousand.
  const expected = epochs / rows;
  const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  assert.ok(chiSquare < 94, `chi-square ${chiSquare}`);
});

Deno.test("the largest micro-batch is one that the run meets, and none is larger", () => {
  const tokens = Array.from({ length: 23 }, (_, i) => (i * 7) % 13 + 1);
  const batch = { limits: { rows: 2, tokens: Infinity }, shuffle: true, seed: 5 };
  for (const [epochs, maxSteps] of [[1, -1], [3, -1], [1, 2]]) {
    const plan = planData(23, 4, epochs, maxSteps);
    const sums: number[] = [];
    for (let step = 0; step < plan.totalSteps; step++) {
      const { epoch, begin, end } = positionOf(step, plan);
      const order = epochOrder(23, { ...batch, epoch });
      for (let first = begin; first < end; first += 2) {
        const rows = order.slice(first, Math.min(end, first + 2));
        sums.push(rows.reduce((sum, row) => sum + tokens[row], 0));
      }
    }
    const largest = largestMicroBatch(tokens, plan, batch);
    assert.equal(largest.reduce((sum, row) => sum + tokens[row], 0), Math.max(...sums));
  }
  const ordered = largestMicroBatch([1, 5, 2, 2, 9], planData(5, 2, 9, -1), {
    ...batch,
    shuffle: false,
  });
  assert.deepEqual([...ordered], [4]);
  const few = { ...batch, limits: { rows: 4, tokens: 7 }, shuffle: false };
  assert.deepEqual(largestMicroBatch([1, 5, 2, 2, 3, 9], planData(5, 5, 1, -1), few), [2, 3, 4]);
});
