// This module is browser compatible.
import type { Audit } from "../data/audit.ts";
import { filterInWords } from "../data/filter_report.ts";
import { html } from "hono/html";
import { documentOf } from "./document.ts";
import { type Html, linePlot, type Series } from "./plot.ts";
import {
  afterInWords,
  answersTitle,
  evaluationChanges,
  type MetricsLine,
  originInWords,
  readable,
  type RunRecord,
  type Sample,
  type StepSample,
} from "./run_record.ts";

// What to plot, if the run has it: title, metrics as training steps name them, and whose, where not of both.
const PLOTS: [title: string, names: string[], only?: "training" | "held-out"][] = [
  ["Loss", ["loss"]],
  ["Reward accuracy", ["rewards/accuracies"]],
  ["Reward margin", ["rewards/margins"]],
  ["Rewards", ["rewards/chosen", "rewards/rejected"]],
  ["KL from the reference, per token", ["kl"], "held-out"],
  ["KL that KTO estimates, per answer", ["kl"], "training"],
  ["Length of answers, in tokens", ["completions/mean_length"]],
  ["Share of answers that did not end", ["completions/clipped_ratio"]],
  ["Repetition in answers", ["completions/seq_rep_4"]],
  ["Gradient norm before clipping", ["grad_norm"]],
  ["Learning rate", ["learning_rate"]],
];

/**
 * The page about a run: what changed, curves, samples, data and every option with its origin. One file without scripts or
 * anything to fetch, light or dark as the reader has it.
 *
 * @returns `report.html`.
 */
export function renderReport(
  run: RunRecord,
  metrics: readonly MetricsLine[],
  samples: readonly Sample[],
  onTheWay: readonly StepSample[] = [],
): string {
  const title = `smoldpo ${run.command}: ${run.options.model}`;
  return documentOf(
    title,
    html`
      <p class="facts">${facts(run)}</p>
      ${skips(metrics)} ${findings(run)} ${changes(run, metrics)} ${curves(run, metrics)} ${answers(
        run,
        samples,
      )} ${course(onTheWay)} ${data(
        run,
      )} ${configuration(run)}
    `,
  );
}

function facts({ startedAt, durationSeconds, device, parameters, versions }: RunRecord): string {
  const share = (100 * parameters.trained / parameters.total).toFixed(1);
  return [
    `${startedAt.slice(0, 16).replace("T", " ")} UTC`,
    `${readable(Math.round(durationSeconds))} s`,
    `${device.description} (${device.engine}${device.software ? ", software" : ""})`,
    `${readable(parameters.trained)} of ${readable(parameters.total)} weights trained (${share} %)`,
    ...Object.entries(versions).map(([name, version]) => `${name} ${version}`),
  ].join(" · ");
}

function skips(metrics: readonly MetricsLine[]): Html {
  const steps = metrics.filter(({ skipped }) => skipped).map(({ step }) => step);
  if (steps.length === 0) return html``;
  return html`<p>Skipped since the gradient overflowed f16, and the loss scale fell: ${
    steps.length === 1 ? "step" : "steps"
  } ${steps.join(", ")}.</p>`;
}

function findings({ diagnosis = [] }: RunRecord): Html {
  if (diagnosis.length === 0) return html``;
  return html`<h2>Diagnosis</h2>
<ul>${diagnosis.map(({ text }) => html`<li>${text}.</li>`)}</ul>`;
}

function changes({ bestStep }: RunRecord, metrics: readonly MetricsLine[]): Html {
  const rows = evaluationChanges(metrics, bestStep).map((change) =>
    html`
      <tr>
        <th scope="row">${change.name}</th>
        <td>${readable(change.before)}</td>
        <td>${afterInWords(change)}</td>
      </tr>
    `
  );
  if (rows.length === 0) return html``;
  return html`<h2>Held-out data, before and after</h2>
<table class="numbers">
<tr><th></th><th scope="col">before</th><th scope="col">after</th></tr>
${rows}</table>`;
}

function curves({ data }: RunRecord, metrics: readonly MetricsLine[]): Html {
  const sets = data.flatMap(({ set }) => set ?? []);
  const plots = PLOTS.flatMap(([title, names, only]) => {
    const all = names.flatMap((name) => seriesOf(metrics, name, names.length > 1, sets));
    const series = all.filter(({ dots }) => !only || dots === (only === "held-out"));
    return series.length > 0 ? [linePlot(title, series)] : [];
  });
  return plots.length > 0
    ? html`<h2>Curves</h2>
<div class="plots">
${plots}</div>`
    : html``;
}

function seriesOf(
  metrics: readonly MetricsLine[],
  name: string,
  alone: boolean,
  sets: readonly string[],
): Series[] {
  const points = (key: string) =>
    metrics.filter((line) => key in line).map((line) => [line.step, line[key]] as const);
  const training = points(name);
  // Where two metrics share a plot, their evaluations would crowd it.
  const held = alone ? [] : [
    { name: "held-out", points: points(`eval_${name}`), dots: true },
    ...sets.map((set) => ({ name: set, points: points(`eval_${set}_${name}`), dots: true })),
  ];
  const shortName = alone ? name.split("/").at(-1)! : "training";
  return [
    ...(training.length > 0 ? [{ name: shortName, points: training, dots: false }] : []),
    ...held.filter(({ points }) => points.length > 0),
  ];
}

function answers({ options }: RunRecord, samples: readonly Sample[]): Html {
  if (samples.length === 0) return html``;
  const rows = samples.map(({ set, prompt, reference, policy }) =>
    html`
      <tr>
        <th scope="row">${set === undefined ? "" : html`
          <b>${set}</b>
        `}${prompt}</th>
        <td>${reference}</td>
        <td>${policy}</td>
      </tr>
    `
  );
  return html`<h2>${answersTitle(options)}</h2>
<table class="texts">
<tr><th scope="col">prompt</th><th scope="col">reference</th><th scope="col">policy</th></tr>
${rows}</table>`;
}

/** How the answers to each prompt changed, where there were evaluations between the first and the last. */
function course(samples: readonly StepSample[]): Html {
  if (new Set(samples.map(({ step }) => step)).size < 3) return html``;
  const prompts = [...Map.groupBy(samples, ({ set, prompt }) => JSON.stringify([set, prompt]))];
  const parts = prompts.map(([, lines]) => {
    const [{ set, prompt }] = lines;
    const row = (name: string, text: string) =>
      html`
        <tr>
          <th scope="row">${name}</th>
          <td>${text}</td>
        </tr>
      `;
    return html`<h3>${set === undefined ? "" : `${set}: `}${prompt}</h3>
<table class="course">
${
      lines.map(({ step, reference, policy }, i) => [
        // One that follows the policy answers otherwise later on.
        reference === lines[i - 1]?.reference
          ? ""
          : row(i === 0 ? "reference" : `reference, step ${step}`, reference),
        row(`step ${step}`, policy),
      ])
    }</table>`;
  });
  return html`<h2>Answers as training went on</h2>
${parts}`;
}

function data({ data }: RunRecord): Html {
  const parts = data.map((
    { role, set, path, format, encoding, unusedColumns, hash, counts, audit, filter },
  ) =>
    html`<h3>${set === undefined ? role : `${role}, ${set}`}: ${path}</h3>
<p class="facts">${
      [
        format,
        encoding,
        ...unusedColumns.length > 0 ? [`columns not used: ${unusedColumns.join(", ")}`] : [],
        `tokens ${hash}`,
        ...filter ? [`filter: ${filterInWords(filter)}`] : [],
      ].join(" · ")
    }</p>
<table class="numbers">
${
      Object.entries(counts).map(([name, count]) =>
        html`
          <tr>
            <th scope="row">${name}</th>
            <td>${readable(count)}</td>
          </tr>
        `
      )
    }
${audit === undefined ? "" : auditRows(audit)}</table>`
  );
  return html`<h2>Data</h2>
${parts}`;
}

/** What the audit looked for, found or not, with the first rows that have it. */
function auditRows(audit: Audit): Html[] {
  return Object.entries(audit).map(([name, found]) => {
    const isFinding = typeof found === "object";
    const rows = isFinding && found.count > 0 ? `rows ${found.rows.join(", ")}` : "";
    return html`
      <tr>
        <th scope="row">audit: ${name}</th>
        <td>${readable(isFinding ? found.count : found)}</td>
        <td>${rows}</td>
      </tr>
    `;
  });
}

function configuration({ options, origins }: RunRecord): Html {
  const rows = Object.entries(options).map(([name, value]) =>
    html`
      <tr>
        <th scope="row">${name}</th>
        <td>${value === null ? "–" : readable(value)}</td>
        <td>${name in origins ? originInWords(origins[name]) : ""}</td>
      </tr>
    `
  );
  return html`<h2>Configuration</h2>
<table class="options">
<tr><th scope="col">option</th><th scope="col">value</th><th scope="col">from</th></tr>
${rows}</table>`;
}
