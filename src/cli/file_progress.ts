import type { Output } from "./context.ts";

/** Shows how far files are: drawn over itself in a terminal, a line per finished file elsewhere. */
export class FileProgress {
  readonly #output: Output;
  readonly #finished = new Set<string>();

  constructor(output: Output) {
    this.#output = output;
  }

  update(path: string, doneBytes: number, totalBytes: number): void {
    if (this.#finished.has(path)) return;
    const done = doneBytes >= totalBytes;
    if (done) this.#finished.add(path);
    const percent = totalBytes === 0 ? 100 : Math.floor(100 * doneBytes / totalBytes);
    const line = `${String(percent).padStart(3)} %  ${(totalBytes / 1e6).toFixed(1)} MB  ${path}`;
    const columns = this.#output.columns();
    if (columns !== null) {
      this.#output.write(`\r${line.slice(0, columns - 1)}\x1b[K${done ? "\n" : ""}`);
    } else if (done) {
      this.#output.write(`${line}\n`);
    }
  }
}
