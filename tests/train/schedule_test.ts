import assert from "node:assert/strict";
import { learningRateAt, type Schedule } from "../../src/train/schedule.ts";

const base: Schedule = { type: "constant", learningRate: 1, warmupSteps: 0, totalSteps: 10 };
const rates = (schedule: Partial<Schedule>) =>
  Array.from({ length: 10 }, (_, step) => learningRateAt(step, { ...base, ...schedule }));

Deno.test("schedules give what transformers' schedulers give", () => {
  assert.deepEqual(rates({}), new Array(10).fill(1));
  assert.deepEqual(
    rates({ type: "linear" }),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((s) => 1 - s / 10),
  );
  const cosine = rates({ type: "cosine" });
  assert.equal(cosine[0], 1);
  assert.ok(Math.abs(cosine[5] - 0.5) < 1e-12);
  assert.ok(cosine.every((rate, step) => step === 0 || rate < cosine[step - 1]));
});

Deno.test("the warm-up rises from 0, as a number of steps or a share of all", () => {
  const expected = [0, 0.25, 0.5, 0.75, 1];
  assert.deepEqual(rates({ warmupSteps: 4 }).slice(0, 5), expected);
  assert.deepEqual(rates({ warmupSteps: 0.4 }).slice(0, 5), expected);
  assert.equal(rates({ type: "linear", warmupSteps: 4 })[4], 1);
  assert.equal(rates({ type: "linear", warmupSteps: 4 })[7], 0.5);
});
