import assert from "node:assert/strict";
import {
  dependsOnEnd,
  learningRateAt,
  type Schedule,
  SCHEDULES,
  type ScheduleType,
} from "../../src/train/schedule.ts";
import { askPython, lackOfPython } from "../python.ts";
import { unless } from "../skip.ts";

/** Those that follow from the step; tests/train/plateau_test.ts has the one that follows from evaluations. */
const SCHEDULE_TYPES = (Object.keys(SCHEDULES) as ScheduleType[])
  .filter((type) => type !== "reduce_lr_on_plateau");

const base: Schedule = {
  ...{ type: "constant", learningRate: 1, warmupSteps: 0, totalSteps: 10 },
  ...{ minLrRate: 0, lrPower: 1, lrDecaySteps: 0.2 },
};
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

interface Answer {
  version: string;
  rates: number[][];
}

const lack = await lackOfPython("torch", "transformers");
Deno.test(unless(lack, "every schedule has the rates of transformers, step by step"), async () => {
  const shapes: Partial<Schedule>[] = [
    { warmupSteps: 0, totalSteps: 10 },
    { warmupSteps: 5, totalSteps: 37, minLrRate: 0.1, lrPower: 2.5, lrDecaySteps: 8 },
    { warmupSteps: 0.1, totalSteps: 33, minLrRate: 0.25, lrPower: 0.5, lrDecaySteps: 0.5 },
  ];
  const schedules = SCHEDULE_TYPES.flatMap((type) =>
    shapes.map((shape) => ({ ...base, ...shape, type, learningRate: 3e-4 }))
  );
  const script = new URL("schedule_peer.py", import.meta.url);
  const { version, rates } = await askPython<Answer>(script, schedules);
  console.log(`transformers ${version}`);
  assert.equal(rates.length, schedules.length);
  for (const [i, schedule] of schedules.entries()) {
    const ours = Array.from(
      { length: schedule.totalSteps },
      (_, step) => learningRateAt(step, schedule),
    );
    for (const [step, rate] of ours.entries()) {
      const where = `${schedule.type} of ${schedule.totalSteps}, step ${step}`;
      assert.ok(Math.abs(rate - rates[i][step]) <= 1e-12, `${where}: ${rate}, ${rates[i][step]}`);
    }
  }
});

Deno.test("a schedule says whether its rates depend on where the run ends", () => {
  for (const type of SCHEDULE_TYPES) {
    for (const warmupSteps of [0, 3, 0.2]) {
      const ofEnd = (totalSteps: number) =>
        Array.from(
          { length: 20 },
          (_, step) => learningRateAt(step, { ...base, type, warmupSteps, totalSteps }),
        );
      const differs = ofEnd(20).some((rate, step) => rate !== ofEnd(40)[step]);
      assert.equal(dependsOnEnd({ type, warmupSteps }), differs, `${type}, ${warmupSteps}`);
    }
  }
});
