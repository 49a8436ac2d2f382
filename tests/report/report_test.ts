import assert from "node:assert/strict";
import { renderReport } from "../../src/report/report.ts";
import type { MetricsLine } from "../../src/report/run_record.ts";
import { METRICS, RUN, SAMPLES } from "./sample_run.ts";

const page = renderReport(RUN, METRICS, SAMPLES);

/** The texts of the cells of every row. */
function rows(html: string): string[] {
  return Array.from(
    html.matchAll(/<tr>(.*?)<\/tr>/gs),
    ([, row]) =>
      Array.from(row.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/gs), ([, cell]) => cell).join(" | "),
  );
}

Deno.test("the report has the numbers before and after", () => {
  assert.ok(rows(page).includes("loss | 0.69315 | 0.1269"));
  assert.ok(rows(page).includes("rewards/accuracies | 0.5 | 0.99"));
  assert.ok(rows(page).includes("rewards/margins | 0 | 2"));
});

Deno.test("the report has every option with its origin, and the data's counts", () => {
  for (const name of Object.keys(RUN.options)) {
    assert.ok(rows(page).some((row) => row.startsWith(`${name} | `)), name);
  }
  assert.ok(rows(page).includes("beta | 0.25 | flag"));
  assert.ok(rows(page).includes("learningRate | 1e-4 | preset: seed"));
  assert.ok(rows(page).includes("reference | – | default"));
  assert.ok(rows(page).includes("rows | 1,400"));
  assert.ok(rows(page).includes("audit: duplicates | 2 | rows 7, 1234"));
  assert.ok(rows(page).includes("audit: longerWins | 0.625 | "));
  assert.match(page, /columns not used: score_chosen/);
  assert.match(page, /491,904 of 2,066,496 weights trained \(23\.8 %\)/);
});

Deno.test("what stands out is said in words, and nothing where nothing does", () => {
  assert.doesNotMatch(page, /Diagnosis/);
  const diagnosis = [{ sign: "diverged", text: "the loss rose from 1 to 2 < 3" }];
  const told = renderReport({ ...RUN, diagnosis }, METRICS, SAMPLES);
  assert.match(told, /<h2>Diagnosis<\/h2>\s*<ul>\s*<li>the loss rose from 1 to 2 &lt; 3\.<\/li>/);
});

Deno.test("a curve is drawn for each metric that the run has", () => {
  const titles = Array.from(page.matchAll(/aria-label="([^"]*)"/g), ([, title]) => title);
  assert.deepEqual(titles, [
    "Loss",
    "Reward accuracy",
    "Reward margin",
    "Rewards",
    "Gradient norm before clipping",
    "Learning rate",
  ]);
  assert.equal(page.match(/<circle/g)?.length, 6);
  const sft = renderReport(RUN, [{ step: 1, loss: 2 }, { step: 2, loss: 1 }], []);
  assert.equal(sft.match(/<svg/g)?.length, 1);
});

Deno.test("the report says which steps were skipped", () => {
  assert.doesNotMatch(page, /Skipped/);
  const lines: MetricsLine[] = [{ step: 1, loss: 1, skipped: 1 }, {
    step: 2,
    loss: 1,
    grad_norm: 3,
  }];
  const text = renderReport(RUN, lines, []);
  assert.match(text, /Skipped since the gradient overflowed f16, .*: step 1\./);
  assert.match(text, /aria-label="Gradient norm before clipping"/);
});

Deno.test("hostile text stays text", () => {
  assert.ok(!page.includes("<script"));
  assert.ok(
    rows(page).includes(
      "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; | &quot; onload=&quot;x | y\nz | " +
        "&amp;lt; `a` *b* [c](javascript:d)",
    ),
  );
  const hostile = '"><img src=x onerror=alert(1)>';
  const named = renderReport(
    {
      ...RUN,
      options: { ...RUN.options, model: hostile },
      data: [{ ...RUN.data[0], path: hostile, counts: { [hostile]: 1 } }],
    },
    METRICS,
    [],
  );
  assert.ok(!named.includes("<img"));
});

Deno.test("the report fetches nothing and runs nothing", () => {
  assert.match(page, /Content-Security-Policy"\s+content="default-src 'none'/);
  assert.doesNotMatch(page, /https?:\/\/|\b(?:src|href)=|@import|url\(/);
});

Deno.test("a run without evaluations, samples or steps still gives a page", () => {
  const empty = renderReport({ ...RUN, data: [] }, [], []);
  assert.doesNotMatch(empty, /before and after|<svg|undefined|NaN/);
  assert.match(empty, /<h2>Configuration<\/h2>/);
});
