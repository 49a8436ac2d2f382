import type { Command, Resolved } from "../config.ts";

/** What a command gets besides its options: everything of the process that it may touch. */
export interface Context<C extends Command = Command> {
  /** Results. With `--json` nothing but JSON may go here. */
  stdout: Output;
  /** Progress, headers and errors. */
  stderr: Output;
  /** Aborted by the first interrupt: finish the step, save, and return 130. */
  signal: AbortSignal;
  /** The options with where each came from, for headers and `run.json`. */
  resolved: Resolved<C>;
}

/** A stream of text for people or programs. */
export interface Output {
  /** Writes as it is, without a line break. */
  write(text: string): void;
  /** Columns of the terminal, or `null` where there is none. */
  columns(): number | null;
}

/** @returns The process's own stream as an {@link Output}. */
export function processOutput(stream: typeof Deno.stdout | typeof Deno.stderr): Output {
  const encoder = new TextEncoder();
  return {
    write(text) {
      // A pipe may take less than everything at a time.
      for (let rest = encoder.encode(text); rest.length > 0;) {
        rest = rest.subarray(stream.writeSync(rest));
      }
    },
    columns: () => stream.isTerminal() ? Deno.consoleSize().columns : null,
  };
}
