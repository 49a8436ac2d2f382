// This module is browser compatible.
import { html, raw } from "hono/html";
import type { Html } from "./plot.ts";

/**
 * A page of its own: one file without scripts or anything to fetch, light or dark as the reader has it, on a phone and in print.
 *
 * @param body What follows the title.
 */
export function documentOf(title: string, body: Html): string {
  const page = html`
    <!DOCTYPE html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>${title}</title>
        <style>${STYLE}</style>
      </head>
      <body>
        <h1>${title}</h1>
        ${body}
      </body>
    </html>
  `;
  return `${String(page).trim()}\n`;
}

/** The colours of plots; of more series the first ones again. */
const COLOURS = 5;

function series(): string {
  const rules = Array.from({ length: 2 * COLOURS }, (_, i) => {
    const colour = `var(--series-${i % COLOURS})`;
    return `.plot polyline.series-${i} { stroke: ${colour}; }\n` +
      `.plot circle.series-${i}, .plot tspan.series-${i} { fill: ${colour}; }`;
  });
  return rules.join("\n");
}

const STYLE = raw(`
:root { color-scheme: light dark; --text: #1f2328; --quiet: #656d76; --line: #d8dee4; --page: #ffffff;
  --series-0: #0b62c4; --series-1: #c2410c; --series-2: #1a7f37; --series-3: #8250df; --series-4: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --quiet: #8d96a0; --line: #30363d; --page: #0d1117;
  --series-0: #58a6ff; --series-1: #ffa657; --series-2: #56d364; --series-3: #d2a8ff; --series-4: #e3b341; } }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 0.5rem; }
h3 { font-size: 1rem; margin: 1rem 0 0; overflow-wrap: anywhere; }
.facts { color: var(--quiet); margin: 0.25rem 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; }
th, td { padding: 0.3rem 0.9rem 0.3rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top;
  overflow-wrap: anywhere; }
th { font-weight: 600; }
th[scope=row] { font-weight: 400; }
.numbers td, .numbers th[scope=col] { text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
.texts { width: 100%; table-layout: fixed; }
.texts td, .texts th { white-space: pre-wrap; }
.course { width: 100%; }
.course th { width: 6rem; white-space: nowrap; }
.course td { white-space: pre-wrap; }
.options td + td { color: var(--quiet); }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1rem; }
.plot { width: 100%; font: 12px system-ui, sans-serif; }
.plot text { fill: var(--quiet); }
.plot .title { fill: var(--text); font-weight: 600; }
.plot .grid { stroke: var(--line); }
.plot polyline { fill: none; stroke-width: 1.75; stroke-linejoin: round; }
${series()}
@media print { body { margin: 0; } .plots, tr { break-inside: avoid; } }
`);
