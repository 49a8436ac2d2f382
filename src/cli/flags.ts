/**
 * Command line to option names and raw values.
 *
 * Our own loop over the words, because the table in src/config already says which flags exist and what they take:
 * commander wants every option declared to it once more, and `parseArgs` of node:util knows neither a flag that may stand
 * bare (`--resume`) nor `--shuffle false`, and names unknown flags only after it has misread the word behind them.
 *
 * @module
 */
import { OPTIONS } from "../config/options.ts";
import { kebabCase, specOf } from "../config/values.ts";
import type { OptionName } from "../config/resolve.ts";
import { UserError } from "../errors.ts";

/** What the words after the command say. */
export interface Flags {
  help: boolean;
  /** Name as written, without dashes and `no-`, and its value: a string, a truth value or nothing. */
  given: [spelling: string, value: string | boolean | undefined][];
}

const NAMES = new Map<string, OptionName>(
  (Object.keys(OPTIONS) as OptionName[]).flatMap((name) =>
    [kebabCase(name), ...specOf(name).aliases ?? []].map((spelling) => [spelling, name] as const)
  ),
);

/**
 * @param words The command line after the command. `--max-length 96`, `--max_length=96` and `--no-shuffle` are understood;
 * a value that begins with two dashes needs the equals sign.
 * @throws {UserError} If a word is neither a flag nor the value of one.
 */
export function parseFlags(words: readonly string[]): Flags {
  const flags: Flags = { help: false, given: [] };
  for (let i = 0; i < words.length; i++) {
    const [, spelling, inline] = /^--([^=]+)(?:=(.*))?$/s.exec(words[i]) ?? [];
    const next = words[i + 1]?.startsWith("--") ? undefined : words[i + 1];
    if (words[i] === "-h" || words[i] === "--help") {
      flags.help = true;
    } else if (spelling === undefined) {
      throw new UserError(`Expected flags such as --model DIR, found "${words[i]}"`);
    } else {
      const { value, taken } = valueOf(spelling, inline, next);
      flags.given.push([isNegated(spelling) ? spelling.slice("no-".length) : spelling, value]);
      if (taken) i++;
    }
  }
  return flags;
}

/** `taken` says that the next word is the value. */
function valueOf(
  spelling: string,
  inline: string | undefined,
  next: string | undefined,
): { value: string | boolean | undefined; taken: boolean } {
  if (isNegated(spelling)) return { value: inline === undefined ? false : inline, taken: false };
  const name = NAMES.get(kebabCase(spelling));
  const spec = name && specOf(name);
  if (inline !== undefined) return { value: inline, taken: false };
  if (spec?.kind === "boolean") {
    const taken = next !== undefined && /^(?:true|false)$/i.test(next);
    return { value: taken ? next : true, taken };
  }
  const bare = spec?.kind === "text" ? spec.bare : undefined;
  // The word after an unknown flag is taken too, so that the error names the flag.
  return { value: next ?? bare, taken: next !== undefined };
}

function isNegated(spelling: string): boolean {
  const name = /^no[-_](.+)$/.exec(kebabCase(spelling))?.[1];
  const known = name === undefined ? undefined : NAMES.get(name);
  return known !== undefined && specOf(known).kind === "boolean";
}
