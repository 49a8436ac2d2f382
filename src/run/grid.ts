// This module is browser compatible.
import { UserError } from "../errors.ts";

/** Values of some options, by the names that the user wrote. */
export type Combination = readonly (readonly [name: string, value: string])[];

/** More are likely a slip, and would take days. */
const MOST_RUNS = 1000;

/**
 * The runs of a sweep: each value of each option with each of the others.
 *
 * @param grid Such as `beta=0.05,0.1 learning_rate=1e-6,5e-6`.
 * @throws {UserError} If it is not of that form, or asks for too many runs.
 */
export function combinationsOf(grid: string): Combination[] {
  const axes = grid.split(/[\s;]+/).filter(Boolean).map((item) => {
    const [, name, values] = /^(?:--)?([\w-]+)=(.+)$/.exec(item) ?? [];
    if (name === undefined) {
      throw new UserError(`Expected --grid as NAME=VALUE,... for each option, found "${item}"`);
    }
    const distinct = new Set(values.split(",").filter(Boolean));
    return [...distinct].map((value) => [name, value] as const);
  });
  const names = axes.map(([[name]]) => name.replaceAll("_", "-"));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new UserError(`Expected each option of --grid once, found ${twice} twice`);
  }
  if (axes.length === 0) {
    throw new UserError(
      "Expected --grid to say what to try, such as beta=0.05,0.1,0.5, found none",
    );
  }
  const count = axes.reduce((product, values) => product * values.length, 1);
  if (count > MOST_RUNS) {
    throw new UserError(`Expected --grid of at most ${MOST_RUNS} runs, found ${count}`);
  }
  return axes.reduce<Combination[]>(
    (combinations, values) =>
      combinations.flatMap((each) => values.map((value) => [...each, value])),
    [[]],
  );
}

/** @returns The name of a run's folder, such as `beta-0.05_learning-rate-1e-6`. */
export function nameOf(combination: Combination): string {
  return combination.map(([name, value]) => `${name.replaceAll("_", "-")}-${value}`)
    .join("_").replace(/[^\w.-]/g, "-");
}
