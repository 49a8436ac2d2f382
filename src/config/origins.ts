// This module is browser compatible.
import type { OptionName } from "./options.ts";

/** Where a value came from. */
export interface Origin {
  source: "default" | "preset" | "file" | "flag" | "automatic";
  /** The preset, the file, or the reason of an automatic choice. */
  detail?: string;
}

/** Options of a command while they are read. */
export type Values = Partial<Record<OptionName, unknown>>;
export type Origins = Partial<Record<OptionName, Origin>>;

/** Whether the user named an option, on the command line or in a file. */
export function givenByUser(
  origins: Readonly<Record<string, Origin | undefined>>,
  name: string,
): boolean {
  return ["flag", "file"].includes(origins[name]?.source ?? "");
}
