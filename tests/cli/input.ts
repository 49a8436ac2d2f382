import type { Input } from "../../src/cli/context.ts";

/** An {@link Input} with these lines; with `terminal` it passes for a person who types them. */
export class MemoryInput implements Input {
  readonly #lines: string[];

  constructor(lines: string[] = [], readonly terminal = false) {
    this.#lines = [...lines];
  }
  isTerminal(): boolean {
    return this.terminal;
  }
  text(): Promise<string> {
    return Promise.resolve(this.#lines.splice(0).map((line) => `${line}\n`).join(""));
  }
  line(): Promise<string | null> {
    return Promise.resolve(this.#lines.shift() ?? null);
  }
}
