/** Curves of runs over their steps: what training measured as lines, held-out data as dots. */
import { element } from "./elements.js";
import { MEASURES } from "./measures.js";

/** By page/uplot.js, whose small build is a script and no module. */
const { uPlot } = /** @type {any} */ (globalThis);

const HEIGHT = 190;
const DOT = 7;
/** Of the runs. */
const COLOURS = ["accent", "warn"];

/** Colours of the page's style, asked for as they are drawn: they change with the light. */
const colour = (name) => () => getComputedStyle(document.body).getPropertyValue(`--${name}`);
const AXIS = {
  stroke: colour("quiet"),
  font: "12px system-ui, sans-serif",
  grid: { stroke: colour("line"), width: 1 },
  ticks: { stroke: colour("line"), width: 1 },
};

/** The curves of one run, or of several in the same plots. */
export class Curves {
  #plots;
  #drawing = false;

  /**
   * @param {HTMLElement} container Filled with the plots.
   * @param {string[]} runs What they are called, two at most; a run that is alone needs no name.
   */
  constructor(container, runs) {
    container.replaceChildren();
    this.#plots = MEASURES.map((measure) => new Plot(container, measure, runs));
  }

  /**
   * @param {object} line Of metrics.jsonl.
   * @param {number} run Its number.
   */
  add(line, run = 0) {
    for (const plot of this.#plots) plot.add(line, run);
    if (this.#drawing) return;
    this.#drawing = true;
    // Lines of the past come many at once.
    requestAnimationFrame(() => {
      this.#drawing = false;
      for (const plot of this.#plots) plot.draw();
    });
  }
}

/** One metric: of each run a series of its training and one of its held-out data. */
class Plot {
  #metric;
  #series;
  /** Step to the values of all series. */
  #rows = new Map();
  #uplot;

  constructor(container, { title, metric, range = null }, runs) {
    this.#metric = metric;
    this.#series = 2 * runs.length;
    const frame = element("div", "plot");
    frame.setAttribute("role", "img");
    frame.setAttribute("aria-label", `${title} by step`);
    container.append(frame);
    this.#uplot = new uPlot(
      {
        title,
        width: frame.clientWidth,
        height: HEIGHT,
        scales: { x: { time: false }, y: range ? { range } : {} },
        axes: [{ ...AXIS, size: 32 }, { ...AXIS, size: 55 }],
        cursor: { sync: { key: "step" } },
        series: [{ label: "step" }, ...runs.flatMap(seriesOf)],
      },
      this.#columns(),
      frame,
    );
    new ResizeObserver(() => {
      this.#uplot.setSize({ width: frame.clientWidth, height: HEIGHT });
    }).observe(frame);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  add(line, run) {
    for (const [i, name] of [this.#metric, `eval_${this.#metric}`].entries()) {
      if (!Number.isFinite(line[name])) continue;
      const row = this.#rows.get(line.step) ?? Array(this.#series).fill(null);
      row[2 * run + i] = line[name];
      this.#rows.set(line.step, row);
    }
  }

  draw() {
    const columns = this.#columns();
    for (const [i, values] of columns.entries()) {
      const show = i === 0 || values.some((value) => value !== null);
      if (this.#uplot.series[i].show !== show) this.#uplot.setSeries(i, { show });
    }
    this.#uplot.setData(columns);
  }

  #columns() {
    const steps = [...this.#rows.keys()].sort((a, b) => a - b);
    const of = (i) => steps.map((step) => this.#rows.get(step)[i]);
    return [steps, ...Array.from({ length: this.#series }, (_, i) => of(i))];
  }
}

/** The two series of a run. */
function seriesOf(name, run) {
  const stroke = colour(COLOURS[run]);
  const label = (kind) => name === "" ? kind : `${name}, ${kind}`;
  const points = { show: true, size: DOT, fill: stroke };
  return [
    { label: label("training"), stroke, width: 2, spanGaps: true },
    { label: label("held out (dots)"), stroke, paths: () => null, points },
  ];
}
