import assert from "node:assert/strict";
import { loraGather, loraSpread, loraTurn, type Spread } from "../../src/kernels/lora.ts";
import { paddedColumns } from "../../src/kernels/matmul.ts";
import { assertClose, EPSILON, output, read, run, upload, values } from "./harness.ts";

/** A stack with an adapter for each of three parts, for two with a gap between them, and for one, at even and odd ranks. */
const CASES: { N: number; rank: number; placed: Spread }[] = [
  { N: 20, rank: 4, placed: { scale: 2, spans: spansOf([0, 8], [8, 6], [14, 6]) } },
  { N: 40, rank: 3, placed: { scale: 0.5, spans: spansOf([2, 11], [30, 9]) } },
  { N: 7, rank: 1, placed: { scale: 1, spans: spansOf([0, 7]) } },
  { N: 333, rank: 17, placed: { scale: 0.25, spans: spansOf([100, 233]) } },
];

function spansOf(...spans: [first: number, rows: number][]) {
  return spans.map(([first, rows]) => ({ first, rows }));
}

/** Calls back for each element of b: its index there, and in the spread matrix. */
function places(
  { rank, placed: { spans } }: typeof CASES[number],
): [narrow: number, wide: number][] {
  const width = paddedColumns(spans.length * rank);
  let row = 0;
  return spans.flatMap(({ first, rows }, part) => {
    const begin = row;
    row += rows;
    return Array.from({ length: rows * rank }, (_, i): [number, number] => {
      const [n, j] = [Math.floor(i / rank), i % rank];
      return [(begin + n) * rank + j, (first + n) * width + part * rank + j];
    });
  });
}

for (const each of CASES) {
  const { N, rank, placed: { spans, scale } } = each;
  const rows = spans.reduce((sum, span) => sum + span.rows, 0);
  const width = paddedColumns(spans.length * rank);

  Deno.test(`lora_spread: ${spans.length} parts of rank ${rank} among ${N} rows`, async () => {
    const b = values(1, rows * rank);
    const y = output([N, width]);
    run((commands) => loraSpread(commands, y, upload(b, [rows, rank]), each.placed));
    const expected = new Float64Array(N * width);
    for (const [narrow, wide] of places(each)) expected[wide] = scale * b[narrow];
    assertClose(await read(y), expected, { absolute: 1e-30, relative: EPSILON.f32 });
  });

  Deno.test(`lora_gather: ${spans.length} parts of rank ${rank} among ${N} rows`, async () => {
    const [dy, before] = [values(2, N * width), values(3, rows * rank)];
    const db = output([rows, rank]);
    run((commands) => {
      commands.copy(db, upload(before, [rows, rank]));
      loraGather(commands, db, upload(dy, [N, width]), each.placed);
    });
    const expected = Float64Array.from(before);
    for (const [narrow, wide] of places(each)) expected[narrow] += scale * dy[wide];
    assertClose(await read(db), expected, { absolute: 2 ** -22, relative: EPSILON.f32 });
  });
}

Deno.test("lora_turn turns a matrix, and pads its rows with zeros", async () => {
  for (const [R, K] of [[1, 4], [3, 8], [48, 20], [17, 333]]) {
    const a = values(4, R * K);
    const width = paddedColumns(R);
    const y = output([K, width]);
    run((commands) => loraTurn(commands, y, upload(a, [R, K])));
    const expected = Float64Array.from(
      { length: K * width },
      (_, i) => i % width < R ? a[(i % width) * K + Math.floor(i / width)] : 0,
    );
    assertClose(await read(y), expected, { absolute: 1e-30 });
  }
});

Deno.test("lora kernels refuse shapes that disagree", () => {
  const spread = { scale: 1, spans: spansOf([0, 4], [4, 4]) };
  const b = upload(values(5, 16), [8, 2]);
  assert.throws(
    () => run((commands) => loraSpread(commands, output([8, 8]), b, spread)),
    /^RangeError: lora_spread: expected the wide matrix of shape \(8, 4\)/,
  );
  assert.throws(
    () => run((commands) => loraGather(commands, b, upload(values(6, 28), [7, 4]), spread)),
    /^RangeError: lora_gather: expected at most 3 parts within 7 rows/,
  );
  assert.throws(
    () => run((commands) => loraTurn(commands, output([4, 2]), upload(values(7, 8), [2, 4]))),
    /^RangeError: lora_turn: expected y of shape \(4, 4\)/,
  );
});
