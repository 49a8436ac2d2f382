// This module is browser compatible.
/**
 * Line plots as inline SVG. Our own because a report is a file without scripts: the plotting libraries draw on a canvas or
 * need a document.
 *
 * @module
 */
import { html } from "hono/html";

/** Markup that needs no escaping any more. */
export type Html = ReturnType<typeof html>;

/** Points of one colour. */
export interface Series {
  name: string;
  points: readonly (readonly [x: number, y: number])[];
  /** Circles instead of a line: for a few evaluations. */
  dots?: boolean;
}

const WIDTH = 460;
const HEIGHT = 240;
const LEFT = 52;
const RIGHT = 12;
const TOP = 30;
const BOTTOM = 34;
/** More series than these are named in a line of their own. */
const BESIDE_TITLE = 2;
const LEGEND = 16;
/** More points than pixels only make the file larger. */
const MAX_POINTS = 400;

/**
 * @param title Above the plot, and its name for those who do not see it.
 * @param series Points whose y is not finite are left out.
 * @param xName What the points' x is.
 * @returns An `<svg>`; its colours are the variables `--series-0`, `--series-1`, ... of the page.
 */
export function linePlot(title: string, series: readonly Series[], xName = "step"): Html {
  const finite = series.map(({ points, ...rest }) => ({
    ...rest,
    points: thinned(points.filter(([, y]) => Number.isFinite(y))),
  }));
  const all = finite.flatMap(({ points }) => points);
  const xTicks = ticks(all.map(([x]) => x), 5);
  const yTicks = ticks(all.map(([, y]) => y), 4);
  const top = finite.length > BESIDE_TITLE ? TOP + LEGEND : TOP;
  const x = scale(xTicks, LEFT, WIDTH - RIGHT);
  const y = scale(yTicks, HEIGHT - BOTTOM, top);
  const rules = yTicks.map((tick) =>
    html`<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(tick)}" y2="${y(tick)}" />`
  );
  return html`
    <svg class="plot" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}">
      <text class="title" x="${LEFT}" y="16">${title}</text>
      ${legend(finite)} ${rules}
      ${yTicks.map((tick) => caption(LEFT - 6, y(tick) + 4, "end", label(tick)))}
      ${xTicks.map((tick) => caption(x(tick), HEIGHT - BOTTOM + 16, "middle", label(tick)))}
      ${caption((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, "middle", xName)}
      ${finite.map((one, i) => one.dots ? circles(one, i, x, y, xName) : line(one, i, x, y))}
    </svg>
  `;
}

type Scale = (value: number) => number;

function caption(x: number, y: number, anchor: string, text: string): Html {
  return html`<text class="tick" x="${x}" y="${y}" text-anchor="${anchor}">${text}</text>`;
}

function line({ points }: Series, index: number, x: Scale, y: Scale): Html {
  const coordinates = points.map(([px, py]) => `${x(px)},${y(py)}`).join(" ");
  return html`<polyline class="series-${index}" points="${coordinates}" />`;
}

function circles(
  { name, points }: Series,
  index: number,
  x: Scale,
  y: Scale,
  xName: string,
): Html[] {
  return points.map(([px, py]) => {
    const text = `${name} at ${xName} ${px}: ${label(py)}`;
    return html`
      <circle class="series-${index}" cx="${x(px)}" cy="${y(py)}" r="4">
        <title>${text}</title>
      </circle>
    `;
  });
}

function legend(series: readonly Series[]): Html {
  if (series.length < 2) return html``;
  const names = series.map(({ name }, i) =>
    html`<tspan class="series-${i}" dx="12">${name}</tspan>`
  );
  const y = series.length > BESIDE_TITLE ? 16 + LEGEND : 16;
  return html`<text class="legend" x="${WIDTH - RIGHT}" y="${y}" text-anchor="end">${names}</text>`;
}

/** Means of neighbours where there are too many points. */
function thinned(points: Series["points"]): Series["points"] {
  const size = Math.ceil(points.length / MAX_POINTS);
  if (size <= 1) return points;
  return Array.from({ length: Math.ceil(points.length / size) }, (_, i) => {
    const group = points.slice(i * size, (i + 1) * size);
    const mean = (axis: 0 | 1) => group.reduce((sum, point) => sum + point[axis], 0) / group.length;
    return [mean(0), mean(1)] as const;
  });
}

/** @returns Round numbers, the first at or below the smallest value, the last at or above the largest. */
export function ticks(values: readonly number[], about: number): number[] {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (low > high) return [0, 1];
  // Equal values get room on both sides.
  const span = high - low || Math.abs(low) || 1;
  const power = 10 ** Math.floor(Math.log10(span / about));
  const step = power * [1, 2, 5, 10].find((factor) => span / (power * factor) <= about)!;
  const first = Math.floor((high === low ? low - span / 2 : low) / step);
  const last = Math.ceil((high === low ? high + span / 2 : high) / step);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

function scale(ticks: readonly number[], from: number, to: number): Scale {
  const [low, high] = [ticks[0], ticks.at(-1)!];
  return (value) => Math.round((from + (value - low) / (high - low) * (to - from)) * 10) / 10;
}

function label(value: number): string {
  const magnitude = Math.abs(value);
  if (value !== 0 && (magnitude < 1e-3 || magnitude >= 1e6)) {
    return Number(value.toPrecision(3)).toExponential();
  }
  return String(Number(value.toPrecision(4)));
}
