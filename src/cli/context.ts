import type { Command, Resolved } from "../config/resolve.ts";

/** What a command gets besides its options: everything of the process that it may touch. */
export interface Context<C extends Command = Command> {
  /** What a person types or a program sends. */
  stdin: Input;
  /** Results. With `--json` nothing but JSON may go here. */
  stdout: Output;
  /** Progress, headers and errors. */
  stderr: Output;
  /** Aborted by the first interrupt: finish the step, save, and throw {@link Interrupted}. */
  signal: AbortSignal;
  /** The options with where each came from, for headers and `run.json`. */
  resolved: Resolved<C>;
}

/** The user ended the command before its end, and has been told all that there is to tell. */
export class Interrupted extends Error {}

/** A stream of text for people or programs. */
export interface Output {
  /** Writes as it is, without a line break. */
  write(text: string): void;
  /** Columns of the terminal, or `null` where there is none. */
  columns(): number | null;
}

/** @returns What writes lines. */
export function lineWriter(output: Pick<Output, "write">): (line: string) => void {
  return (line) => output.write(`${line}\n`);
}

/** Text from a person or a program. */
export interface Input {
  /** Whether a person sits there. */
  isTerminal(): boolean;
  /** Everything up to the end. */
  text(): Promise<string>;
  /** The next line without its end; null where there is none, or when the signal is aborted. */
  line(signal: AbortSignal): Promise<string | null>;
}

/** @returns The process's own standard input as an {@link Input}. */
export function processInput(stream: typeof Deno.stdin): Input {
  let lines: ReadableStreamDefaultReader<string> | undefined;
  return {
    isTerminal: () => stream.isTerminal(),
    text: () => new Response(stream.readable).text(),
    async line(signal) {
      lines ??= stream.readable.pipeThrough(new TextDecoderStream()).pipeThrough(splitLines())
        .getReader();
      const { promise: interrupted, resolve } = Promise.withResolvers<null>();
      const interrupt = () => resolve(null);
      signal.addEventListener("abort", interrupt, { once: true });
      const read = lines.read().then(({ value }) => value ?? null);
      return await Promise.race([read, interrupted]).finally(() =>
        signal.removeEventListener("abort", interrupt)
      );
    },
  };
}

function splitLines(): TransformStream<string, string> {
  let rest = "";
  return new TransformStream({
    transform(chunk, controller) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop()!;
      for (const line of lines) controller.enqueue(line.replace(/\r$/, ""));
    },
    flush(controller) {
      if (rest !== "") controller.enqueue(rest);
    },
  });
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
