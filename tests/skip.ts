/**
 * Tests that a machine cannot run are ignored, with the reason in their name. tests/run.ts collects the reasons in its last
 * table.
 */

/**
 * @param lack What the machine lacks; null if nothing.
 * @returns Name and ignore of a test's definition.
 */
export function unless(lack: string | null, name: string): { name: string; ignore: boolean } {
  return lack === null ? { name, ignore: false } : { name: skipName(name, lack), ignore: true };
}

/** Data that tests compare with, beside the repository. */
export const REFERENCE = new URL("../../shared/reference/", import.meta.url).pathname;
export const lackOfReference = await Deno.stat(REFERENCE).then(
  () => null,
  () => "no ../shared/reference",
);

/** An optional dependency of 130 MB, which only those get who ask for it. */
export const lackOfDawn = Deno.env.get("SMOLDPO_ENGINE") === "dawn"
  ? null
  : "SMOLDPO_ENGINE is not dawn";

export const lackOfSignals = Deno.build.os === "windows" ? "Windows has no SIGINT" : null;

function skipName(name: string, lack: string): string {
  return `${name} (skipped: ${lack})`;
}

/** The reason in the name of an ignored test or step; null where it has none. */
export function lackIn(name: string): string | null {
  return /\(skipped: (.*)\)$/s.exec(name)?.[1] ?? null;
}
