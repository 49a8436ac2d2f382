// This module is browser compatible.
import type { OptionName, Resolved } from "../config.ts";
import { kebabCase, specOf } from "../config/values.ts";

/** Options that make no difference to a run's numbers, and are not worth their place in a line to copy. */
const UNTOLD: readonly string[] = [
  "cache",
  "cacheDir",
  "datasetNumProc",
  "json",
  "verbose",
  "resume",
];
/** Told only where they are not what they would be anyway. */
const OF_THE_DEVICE: readonly string[] = ["engine", "adapter", "precision"];

/**
 * @param resolved Also one out of a `run.json`, whose options may be those of an earlier version.
 * @returns The line of a shell that does the same: all options that somebody gave.
 */
export function commandLineOf(
  { command, options, origins }: Pick<Resolved, "command" | "origins"> & {
    options: Readonly<Record<string, unknown>>;
  },
): string {
  const words = Object.entries(options).flatMap(([name, value]) => {
    const given = ["flag", "file"].includes(origins[name]?.source ?? "");
    if (!given || value === null || UNTOLD.includes(name)) return [];
    const spec = specOf(name as OptionName);
    if (spec === undefined) return [];
    if (OF_THE_DEVICE.includes(name) && value === spec.default) return [];
    const flag = kebabCase(name);
    if (spec.kind === "boolean") return [value ? `--${flag}` : `--no-${flag}`];
    return [`--${flag}`, quoted(String(value))];
  });
  return ["deno", "task", command, ...words].join(" ");
}

/** A word as POSIX shells read it. */
function quoted(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
