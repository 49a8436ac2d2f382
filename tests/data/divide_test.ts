import assert from "node:assert/strict";
import { divide } from "../../src/data/divide.ts";

const divided = (tokens: number[], limits: { rows?: number; tokens?: number }) =>
  divide(tokens, (count) => count, { rows: Infinity, tokens: Infinity, ...limits });

Deno.test("rows are divided in order, by number and by tokens", () => {
  assert.deepEqual(divided([], { rows: 2 }), []);
  assert.deepEqual(divided([1, 2, 3, 4, 5], {}), [[1, 2, 3, 4, 5]]);
  assert.deepEqual(divided([1, 2, 3, 4, 5], { rows: 2 }), [[1, 2], [3, 4], [5]]);
  assert.deepEqual(divided([1, 2, 3, 4, 5], { tokens: 6 }), [[1, 2, 3], [4], [5]]);
  assert.deepEqual(divided([1, 2, 3, 4, 5], { rows: 2, tokens: 6 }), [[1, 2], [3], [4], [5]]);
});

Deno.test("a row of more tokens than a batch may have stands alone", () => {
  assert.deepEqual(divided([9, 1, 2, 9, 9, 3], { tokens: 4 }), [[9], [1, 2], [9], [9], [3]]);
});
