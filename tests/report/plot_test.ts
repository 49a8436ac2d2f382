import assert from "node:assert/strict";
import { linePlot, ticks } from "../../src/report/plot.ts";

Deno.test("ticks are round and enclose the values", () => {
  assert.deepEqual(ticks([0, 60], 5), [0, 20, 40, 60]);
  assert.deepEqual(ticks([0.3, -1.3], 4), [-1.5, -1, -0.5, 0, 0.5]);
  assert.deepEqual(ticks([5, 5], 4), [2, 4, 6, 8]);
  assert.deepEqual(ticks([], 4), [0, 1]);
  for (const [low, high] of [[0.69314, 0.69315], [-3e-7, 4e-7], [1, 9_999_999]]) {
    const marks = ticks([low, high], 4);
    assert.ok(marks[0] <= low && marks.at(-1)! >= high, `${marks}`);
    assert.ok(marks.length >= 2 && marks.length <= 7, `${marks}`);
  }
});

/** The coordinates of a plot's lines. */
function coordinates(text: string): number[][] {
  return Array.from(
    text.matchAll(/<polyline[^>]* points="([^"]*)"/g),
    ([, points]) => points.split(/[ ,]/).filter(Boolean).map(Number),
  );
}

Deno.test("larger values are higher, later steps farther right", () => {
  const text = String(linePlot("Loss", [{ name: "training", points: [[1, 0.2], [2, 0.8]] }]));
  const [[x1, y1, x2, y2]] = coordinates(text);
  assert.ok(x1 < x2);
  assert.ok(y1 > y2);
});

Deno.test("values that are not finite are left out", () => {
  const points = [[1, 1], [2, NaN], [3, Infinity], [4, 2]] as const;
  const text = String(linePlot("Loss", [{ name: "training", points }]));
  assert.equal(coordinates(text)[0].length, 4);
  assert.doesNotMatch(text, /NaN|Infinity/);
});

Deno.test("long curves are thinned and keep their ends", () => {
  const points = Array.from({ length: 100_000 }, (_, i) => [i, i % 2] as const);
  const text = String(linePlot("Loss", [{ name: "training", points }]));
  const [line] = coordinates(text);
  assert.ok(line.length <= 800, `${line.length} coordinates`);
  assert.ok(line[0] < 60 && line.at(-2)! > 440);
  // Neighbours 0 and 1 become 0.5.
  assert.equal(new Set(line.filter((_, i) => i % 2 === 1)).size, 1);
});

Deno.test("names are escaped", () => {
  const text = String(linePlot("<b>", [
    { name: "<i>", points: [[1, 1]], dots: true },
    { name: "other", points: [[1, 1]] },
  ]));
  assert.doesNotMatch(text, /<b>|<i>/);
  assert.match(text, /aria-label="&lt;b&gt;"/);
});
