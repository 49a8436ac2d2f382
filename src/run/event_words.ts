// This module is browser compatible.
import { flipsInWords } from "../data/audit.ts";
import { headerOf, type Line } from "../report/header.ts";
import { afterInWords, type Change, readable, type Sample } from "../report/run_record.ts";
import { countsInWords } from "../report/words.ts";
import type { Best } from "./evaluation_plan.ts";
import type { RunEvent } from "./events.ts";

/** What people read of a training's event. Steps and their metrics are for whoever shows progress: of them nothing is said. */
export function wordsOf(event: RunEvent): Line[] {
  switch (event.type) {
    case "planned":
    case "cached":
    case "checked":
      return headerWords(event);
    case "noted":
      return say(`${event.subject.padEnd(10)} ${event.text}`);
    case "resumed":
      return say(`resuming after step ${event.step} of ${event.totalSteps}`);
    case "stepped": {
      const { step, skipped, loss_scale } = event.metrics;
      return skipped
        ? say(
          `skipped    step ${step}: its gradient overflowed f16, so the loss scale is ${loss_scale} now`,
        )
        : [];
    }
    case "interrupted":
      return say(
        `\ninterrupted after step ${event.step}: go on with --output ${event.output} --resume`,
      );
    case "stopped":
      return say(
        `stopped    after step ${event.step}: ${
          bestInWords(event.best)
        } has not been reached again`,
      );
    case "restored":
      return say(`best       ${bestInWords(event.best)}: that model is saved`);
    case "compared":
      return say(comparison(event.changes), ...event.samples.map(sideBySide));
    case "doubted": {
      const doubts = flipsInWords(event.labels);
      return doubts === "" ? [] : say(`audit      ${event.path}: ${doubts}`);
    }
    case "diagnosed":
      return say(...event.findings.map(({ text }) => `diagnosis  ${text}`));
    case "streamed":
      return say(`data       read ${countsInWords(event.data.counts, event.unit)}`);
    default:
      return [];
  }
}

/** The lines of an event that belong to the header of a run, and to its record. */
export function headerWords(event: RunEvent): Line[] {
  switch (event.type) {
    case "planned":
      return headerOf(event.plan);
    case "cached": {
      const { what, path, found, cache } = event;
      return [{ text: `cache      ${what} of ${path}: ${found}; ${cache}`, detail: true }];
    }
    case "checked":
      return [{ text: `self-check ${event.found}`, detail: true }];
    default:
      return [];
  }
}

function bestInWords({ step, metric, value }: Best): string {
  return `${metric} ${readable(value)} after step ${step}`;
}

/** The measures that a reader asks for first, before and after, to follow something else in a line. */
export function changesInWords(changes: readonly Change[]): string {
  const names = { "rewards/accuracies": "accuracy", "rewards/margins": "margin" };
  const words = changes.flatMap(({ name, before, after }) => {
    const [, set, measure] = /^(.+_)?(rewards\/(?:accuracies|margins))$/.exec(name) ?? [];
    if (measure === undefined || set === "filtered_" || set?.endsWith("_filtered_")) return [];
    const word = `${(set ?? "").replace("_", " ")}${names[measure as keyof typeof names]}`;
    return [`${word} ${before.toFixed(2)} -> ${after.toFixed(2)}`];
  });
  return words.length > 0 ? `; held-out ${words.join(", ")}` : "";
}

function say(...texts: string[]): Line[] {
  return texts.map((text) => ({ text, detail: false }));
}

/** Held-out measures before and after, a line each. */
function comparison(changes: readonly Change[]): string {
  const width = Math.max(24, ...changes.map(({ name }) => name.length));
  const line = (name: string, before: string, after: string) =>
    `${name.padEnd(width)} ${before.padStart(10)}  ${after.padStart(18)}`;
  return [
    `\n${line("held out", "before", "after")}`,
    ...changes.map((change) => line(change.name, readable(change.before), afterInWords(change))),
  ].join("\n");
}

function sideBySide({ set, prompt, reference, policy }: Sample): string {
  return `\nprompt     ${set === undefined ? "" : `${set}: `}${oneLine(prompt)}\nreference  ${
    oneLine(reference)
  }\npolicy     ${oneLine(policy)}`;
}

/** A text in one line, without the marks of a chat template. */
const oneLine = (text: string) =>
  text.replaceAll(/<\|[^|]*\|>/g, "").trim().replaceAll(/\s*\n\s*/g, " | ");
