import type { Output } from "../../src/cli/context.ts";

/** An {@link Output} that keeps what is written; with `columns` it passes for a terminal. */
export class MemoryOutput implements Output {
  text = "";
  constructor(readonly width: number | null = null) {}
  write(text: string): void {
    this.text += text;
  }
  columns(): number | null {
    return this.width;
  }
}
