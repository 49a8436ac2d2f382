import type { Context } from "./context.ts";

/** What a run says of itself before it begins: a few lines for everybody, the others with `--verbose`, all in `run.json`. */
export class Header {
  /** All of it, said or not. */
  readonly lines: string[] = [];

  constructor(
    readonly verbose: boolean,
    readonly output: Context["stderr"],
  ) {}

  /** A line that everybody reads. */
  say(line: string): void {
    this.lines.push(line);
    this.output.write(`${line}\n`);
  }

  /** A line for those who ask. */
  detail(line: string): void {
    this.lines.push(line);
    if (this.verbose) this.output.write(`${line}\n`);
  }
}

/** How this program was called, to begin a command line to copy: by Deno, or by npx where that brought Deno. */
export function invocation(execPath: string = Deno.execPath()): string {
  return /[/\\]_npx[/\\]/.test(execPath) ? `npx -y deno@${Deno.version.deno}` : "deno";
}
