import assert from "node:assert/strict";
import { RowPool } from "../../src/generate/row_pool.ts";
import { random } from "../kernels/harness.ts";

Deno.test("rows are handed out once, and all of them come back as one run", () => {
  const pool = new RowPool(100);
  const next = random(5);
  const taken: { begin: number; count: number }[] = [];
  let refused = 0;
  for (let i = 0; i < 2000; i++) {
    const count = 1 + Math.floor((next() + 1) * 12);
    const begin = pool.take(count);
    if (begin === null) {
      refused++;
      const [gone] = taken.splice(Math.floor((next() + 1) / 2 * taken.length), 1);
      pool.give(gone.begin, gone.count);
    } else {
      const clash = taken.some((run) => begin < run.begin + run.count && run.begin < begin + count);
      assert.ok(!clash && begin >= 0 && begin + count <= 100, `rows ${begin} to ${begin + count}`);
      taken.push({ begin, count });
    }
    const used = taken.reduce((sum, run) => sum + run.count, 0);
    assert.equal(pool.freeRows, 100 - used);
  }
  assert.ok(refused > 100, "the pool was never full");
  for (const { begin, count } of taken) pool.give(begin, count);
  assert.equal(pool.take(100), 0);
  assert.equal(pool.take(1), null);
});
