// This module is browser compatible.
/** The page about a sweep: what each combination of options reached, and how a measure follows from an option. */
import { html } from "hono/html";
import { documentOf } from "./document.ts";
import { type Html, linePlot, type Series } from "./plot.ts";
import { type MetricsLine, readable } from "./run_record.ts";

/** A run of a sweep. */
export interface SweptRun {
  /** Its folder beside the page. */
  name: string;
  /** What it was tried with, as text. */
  values: Readonly<Record<string, string>>;
  /** Its last line of held-out measures, without `eval_`; of its last training step where there are none. */
  measures: MetricsLine;
  /** The names of its held-out sets, where they have some. */
  sets?: readonly string[];
}

/** Measures that are shown, as far as the runs have them. */
const MEASURES: [name: string, title: string][] = [
  ["loss", "Loss"],
  ["rewards/accuracies", "Reward accuracy"],
  ["rewards/margins", "Reward margin"],
  ["kl", "KL from the reference, per token"],
  ["logps/chosen", "Log-probability of chosen"],
  ["logps/rejected", "Log-probability of rejected"],
  ["answers/helpful", "Answers of the preferred kind"],
];

/** @returns The measures of a run that a table shows. */
export function sweptMeasures(runs: readonly SweptRun[]): string[] {
  return shownMeasures(runs).map(([name]) => name);
}

/** The measures that runs have; of several held-out sets each one's, with its name. */
function shownMeasures(runs: readonly SweptRun[]): typeof MEASURES {
  const sets = new Set(runs.flatMap(({ sets = [] }) => sets));
  return [
    ...MEASURES,
    ...[...sets].flatMap((set) =>
      MEASURES.map(([name, title]): [string, string] => [`${set}_${name}`, `${title}, ${set}`])
    ),
  ].filter(([name]) => runs.some(({ measures }) => name in measures));
}

/** @returns `sweep.html`. */
export function renderSweep(title: string, runs: readonly SweptRun[]): string {
  const options = Object.keys(runs[0].values);
  const measures = sweptMeasures(runs);
  const rows = runs.map(({ name, values, measures: found }) =>
    html`
      <tr>
        <th scope="row"><a href="${name}/report.html">${name}</a></th>
        ${options.map((option) => html`<td>${values[option]}</td>`)} ${measures.map((measure) =>
          html`<td>${readable(found[measure])}</td>`
        )}
      </tr>
    `
  );
  return documentOf(
    title,
    html`
      <h2>Runs</h2>
      <table class="numbers">
        <tr>
          <th scope="col">run</th>
          ${[...options, ...measures].map((head) => html`<th scope="col">${head}</th>`)}
        </tr>
        ${rows}
      </table>
      ${frontiers(runs)} ${options.map((option) => plotsOver(option, runs))}
    `,
  );
}

/** What a run gained for what it moved: the margin over the divergence, a point for each run. */
function frontiers(runs: readonly SweptRun[]): Html {
  const prefixes = ["", ...new Set(runs.flatMap(({ sets = [] }) => sets.map((set) => `${set}_`)))];
  const series = prefixes.map((prefix): Series => ({
    name: prefix === "" ? "runs" : prefix.slice(0, -1),
    points: runs.filter(({ measures }) => `${prefix}kl` in measures).map(({ measures }) =>
      [measures[`${prefix}kl`], measures[`${prefix}rewards/margins`]] as const
    ),
    dots: true,
  })).filter(({ points }) => points.length > 1);
  if (series.length === 0) return html``;
  return html`
    <h2>Margin over KL</h2>
    <div class="plots">${linePlot("Reward margin over KL", series, "KL")}</div>
  `;
}

/** Of an option with several numbers: each measure over it, a series for each combination of the other options. */
function plotsOver(option: string, runs: readonly SweptRun[]): Html {
  const isNumeric = runs.every(({ values }) => Number.isFinite(Number(values[option])));
  if (!isNumeric || new Set(runs.map(({ values }) => values[option])).size < 2) return html``;
  const others = (run: SweptRun) =>
    Object.entries(run.values).filter(([name]) => name !== option).map((pair) => pair.join(" "))
      .join(", ");
  const plots = shownMeasures(runs)
    .map(([name, title]) => {
      const groups = Map.groupBy(runs, others);
      const series: Series[] = [...groups].map(([group, members]) => ({
        name: group,
        points: members.map(({ values, measures }) =>
          [Number(values[option]), measures[name]] as const
        )
          .sort(([a], [b]) => a - b),
      }));
      return linePlot(title, series, option);
    });
  return html`
    <h2>Over ${option}</h2>
    <div class="plots">${plots}</div>
  `;
}
