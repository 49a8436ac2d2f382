// This module is browser compatible.
import type { OptionName, Resolved } from "../config/resolve.ts";
import type { OptionSpec } from "../config/kinds.ts";
import { givenByUser } from "../config/origins.ts";
import { kebabCase, specOf } from "../config/values.ts";

/**
 * @param resolved Also one out of a `run.json`, whose options may be those of an earlier version.
 * @returns The line of a shell that does the same: the options that somebody gave, as far as the table shows them.
 */
export function commandLineOf(
  { command, options, origins }: Pick<Resolved, "command" | "origins"> & {
    options: Readonly<Record<string, unknown>>;
  },
): string {
  const words = Object.entries(options).flatMap(([name, value]) => {
    if (!givenByUser(origins, name) || value === null) return [];
    const spec: OptionSpec | undefined = specOf(name as OptionName);
    if (spec === undefined || spec.shown === "never") return [];
    if (spec.shown === "unless default" && value === spec.default) return [];
    const flag = kebabCase(name);
    if (spec.kind === "boolean") return [value ? `--${flag}` : `--no-${flag}`];
    if (spec.kind === "datasets" && typeof value === "object") {
      return Object.entries(value).flatMap((
        [set, path],
      ) => [`--${flag}`, quoted(`${set}=${path}`)]);
    }
    return [`--${flag}`, quoted(String(value))];
  });
  return ["deno", "task", command, ...words].join(" ");
}

/** A word as POSIX shells read it. */
function quoted(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
