import assert from "node:assert/strict";
import { Pace } from "../../src/gpu/pace.ts";

const FIRST_PART = 48;

function pace(inParts = true) {
  let time = 1000;
  const measured = new Pace(inParts, () => time);
  /** Two submits of so many dispatches, waited for so long. */
  const run = (dispatches: number, ms: number) => {
    measured.submitted(dispatches / 2);
    time += ms / 3;
    measured.submitted(dispatches / 2);
    time += 2 * ms / 3;
    measured.finished();
    time += 500; // nothing to do
    return measured.most;
  };
  return { measured, run };
}

Deno.test("submits last about 75 ms, once the speed of dispatches is known", () => {
  const { measured, run } = pace();
  assert.equal(measured.most, FIRST_PART);
  assert.equal(run(800, 3200), 18); // 4 ms each: an integrated GPU's step of 3.2 s
  assert.equal(run(800, 200), 300); // 0.25 ms each
  assert.equal(run(800, 8), 768);
  assert.equal(measured.first, FIRST_PART);
  assert.equal(run(2, 4000), 768); // who waits late measures too much: at most twice what was known
  for (let i = 0; i < 20; i++) run(10, 3000);
  assert.deepEqual([measured.first, measured.most], [1, 1]);
});

Deno.test("a device that begins when all is recorded is given all at once", () => {
  const { measured, run } = pace(false);
  assert.equal(measured.first, Infinity);
  run(800, 3200);
  assert.equal(measured.first, Infinity);
});

Deno.test("a wait without a submit before it measures nothing", () => {
  const { measured } = pace();
  measured.finished();
  assert.equal(measured.most, FIRST_PART);
});
