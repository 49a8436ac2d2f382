/** Two runs beside each other: their measures, their curves, and the options that differ. */
import { Curves } from "./curves.js";
import { byId, element } from "./elements.js";

const NAMES = ["A", "B"];
const NOTHING = "–";
/** Options that say where a run lies, and not how it trained. */
const PLACES = ["output", "resume"];

/** @returns {{ show(runs: object[]): void, hide(): void }} Shows two runs with their metrics. */
export function startComparison() {
  const section = byId("comparison");

  function show(runs) {
    section.hidden = false;
    const names = runs.map(({ model }, i) => element("p", "facts", `${NAMES[i]}: ${model}`));
    byId("comparison-names").replaceChildren(...names);
    const curves = new Curves(byId("comparison-curves"), NAMES);
    for (const [i, { metrics }] of runs.entries()) {
      for (const line of metrics) curves.add(line, i);
    }
    const heads = NAMES.flatMap((name) => [`${name} first`, `${name} final`]);
    const [titles, ...rows] = withoutEmpty([["", ...heads], ...measuresOf(runs)]);
    fill(byId("comparison-measures"), titles, rows);
    fill(byId("comparison-options"), ["Options that differ", ...NAMES], differencesOf(runs));
    section.scrollIntoView({ block: "nearest" });
  }
  return {
    show,
    hide() {
      section.hidden = true;
    },
  };
}

/** @param {string[][]} rows Cells, of which the first is the row's name. */
function fill(table, heads, rows) {
  const cell = (scope, text) => {
    const made = element(scope === "" ? "td" : "th", "", text);
    if (scope !== "") made.scope = scope;
    return made;
  };
  const row = (cells) => {
    const made = element("tr", "");
    made.append(...cells);
    return made;
  };
  table.replaceChildren(
    row(heads.map((text) => cell("col", text))),
    ...rows.map(([name, ...values]) => row([cell("row", name), ...values.map((v) => cell("", v))])),
  );
}

/** A row per measure that one of the runs has; a training step's own numbers, such as its tokens, measure no model. */
function measuresOf(runs) {
  const sides = runs.flatMap(({ first, final }) => [first ?? {}, final ?? {}]);
  const names = [...new Set(sides.flatMap(Object.keys))].filter((name) =>
    /(^|_)loss$|\//.test(name) && !name.endsWith("_ci95")
  );
  return names.map((name) => [name, ...sides.map((side) => textOf(side[name]))]);
}

/** A table without the columns that say nothing below their head. */
function withoutEmpty(rows) {
  const says = rows[0].map((_, column) =>
    column === 0 || rows.slice(1).some((row) => row[column] !== NOTHING)
  );
  return rows.map((row) => row.filter((_, column) => says[column]));
}

function differencesOf([a, b]) {
  const names = new Set([a, b].flatMap(({ options }) => Object.keys(options)));
  return [...names]
    .map((name) => [name, textOf(a.options[name]), textOf(b.options[name])])
    .filter(([name, one, other]) => !PLACES.includes(name) && one !== other);
}

function textOf(value) {
  if (typeof value === "number" && !Number.isInteger(value)) return `${+value.toPrecision(4)}`;
  if (value === undefined || value === null) return NOTHING;
  if (typeof value !== "object" || Array.isArray(value)) return `${value}`;
  return Object.entries(value).map(([name, part]) => `${name}=${part}`).join(" ");
}
