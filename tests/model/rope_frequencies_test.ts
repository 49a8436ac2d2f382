import assert from "node:assert/strict";
import { ropeFrequencies, ropeTable } from "../../src/model/rope_frequencies.ts";
import { assertClose } from "../kernels/harness.ts";

Deno.test("default frequencies are powers of theta", () => {
  const found = ropeFrequencies({ headSize: 8, ropeTheta: 10000, ropeScaling: null });
  assertClose(found, [1, 0.1, 0.01, 0.001], { absolute: 1e-15 });
});

Deno.test("linear scaling divides every frequency", () => {
  const ropeScaling = { type: "linear", factor: 4 } as const;
  const found = ropeFrequencies({ headSize: 8, ropeTheta: 10000, ropeScaling });
  assertClose(found, [0.25, 0.025, 0.0025, 0.00025], { absolute: 1e-15 });
});

Deno.test("llama3 scaling keeps short waves, divides long ones, and blends between", () => {
  const ropeScaling = {
    type: "llama3",
    factor: 8,
    lowFreqFactor: 1,
    highFreqFactor: 4,
    originalMaxPositionEmbeddings: 1024,
  } as const;
  const found = ropeFrequencies({ headSize: 8, ropeTheta: 10000, ropeScaling });
  // Turns within 1024 positions: 163, 16.3, 1.63, 0.163. Kept above 4, divided by 8 below 1, and at 1.6297466 blended:
  // share (1.6297466 - 1) / 3 = 0.2099155, so 0.01 * (0.2099155 + 0.7900845 / 8) = 0.00308676.
  assertClose(found, [1, 0.1, 0.00308676, 0.000125], { absolute: 1e-8 });
});

Deno.test("the table is exact at angles in the thousands", () => {
  const table = ropeTable({ headSize: 8, ropeTheta: 10000, ropeScaling: null }, 8192);
  assert.equal(table.length, 8192 * 8);
  assert.deepEqual([...table.subarray(0, 8)], [1, 1, 1, 1, 0, 0, 0, 0]);
  // cos and sin of 8191 by reduction modulo 2 pi: 8191 - 1303 * 6.283185307179586 = 4.009544745.
  const last = table.subarray(8191 * 8);
  assertClose([last[0], last[4]], [Math.cos(4.009544745), Math.sin(4.009544745)], {
    absolute: 1e-7,
  });
});
