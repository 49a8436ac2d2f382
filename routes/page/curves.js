/** Curves of runs over their steps: what training measured as lines, held-out data as dots, of further sets as other marks. */
import { element } from "./elements.js";
import { bySet, MEASURES } from "./measures.js";

/** By page/uplot.js, whose small build is a script and no module. */
const { uPlot } = /** @type {any} */ (globalThis);

const HEIGHT = 190;
/** Of the runs. */
const COLOURS = ["accent", "warn"];
/** Of held-out sets, which begin anew where there are more. */
const MARKS = [
  { name: "dots", size: 7, fill: true },
  { name: "rings", size: 8, fill: false },
  { name: "small dots", size: 4, fill: true },
  { name: "small rings", size: 5, fill: false },
];

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

/** One metric: of each run a series of its training and one of each of its held-out sets. */
class Plot {
  #metric;
  #runs;
  /** What each series is of: the number of its run, and its held-out set or null. */
  #series = [];
  /** The sets of all runs. */
  #sets = [];
  /** Step to the values of the series, as far as there are any. */
  #rows = new Map();
  #uplot;

  constructor(container, { title, metric, range = null }, runs) {
    this.#metric = metric;
    this.#runs = runs;
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
        series: [{ label: "step" }],
      },
      [[]],
      frame,
    );
    new ResizeObserver(() => {
      this.#uplot.setSize({ width: frame.clientWidth, height: HEIGHT });
    }).observe(frame);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  add(line, run) {
    const training = Number.isFinite(line[this.#metric]) ? [[null, line[this.#metric]]] : [];
    for (const [set, value] of [...training, ...bySet(line, this.#metric, "eval_")]) {
      const row = this.#rows.get(line.step) ?? [];
      row[this.#seriesOf(run, set)] = value;
      this.#rows.set(line.step, row);
    }
  }

  draw() {
    for (const one of this.#series.slice(this.#uplot.series.length - 1)) {
      this.#uplot.addSeries(this.#drawingOf(one));
    }
    const steps = [...this.#rows.keys()].sort((a, b) => a - b);
    const of = (_, i) => steps.map((step) => this.#rows.get(step)[i] ?? null);
    this.#uplot.setData([steps, ...this.#series.map(of)]);
  }

  /** The number of a series; that of a run's training comes before those of its held-out sets. */
  #seriesOf(run, set) {
    const known = this.#series.findIndex((one) => one.run === run && one.set === set);
    if (known >= 0) return known;
    if (set !== null) this.#seriesOf(run, null);
    if (set !== null && !this.#sets.includes(set)) this.#sets.push(set);
    return this.#series.push({ run, set }) - 1;
  }

  /** A series as uPlot takes it. */
  #drawingOf({ run, set }) {
    const stroke = colour(COLOURS[run]);
    const name = this.#runs[run];
    const label = (kind) => name === "" ? kind : `${name}, ${kind}`;
    if (set === null) return { label: label("training"), stroke, width: 2, spanGaps: true };
    const mark = MARKS[this.#sets.indexOf(set) % MARKS.length];
    return {
      label: label(`${set === "" ? "held out" : set} (${mark.name})`),
      stroke,
      paths: () => null,
      points: { show: true, size: mark.size, fill: mark.fill ? stroke : colour("page") },
    };
  }
}
