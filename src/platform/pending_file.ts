import { dirname } from "node:path";
import { explain, syncDirectory } from "./files.ts";

/** Characters that are gathered before the disk is asked. */
const BUFFERED = 1 << 16;

/**
 * A text file that appears under its name when it is whole, or not at all: until `commit` it has a temporary name, and
 * without `commit` it is removed at the end of the scope.
 */
export class PendingFile implements AsyncDisposable {
  #buffer: string[] = [];
  #buffered = 0;
  #isOpen = true;

  private constructor(
    readonly path: string,
    readonly temporary: string,
    readonly handle: Deno.FsFile,
  ) {}

  /** @throws {UserError} If the folder is missing or cannot be written to. */
  static create(path: string): Promise<PendingFile> {
    const temporary = `${dirname(path)}/.tmp-${crypto.randomUUID()}`;
    return explain("write", path, async () => {
      const handle = await Deno.open(temporary, { write: true, createNew: true });
      return new PendingFile(path, temporary, handle);
    });
  }

  /** @throws {UserError} If it cannot be written, for instance on a full disk. */
  async write(text: string): Promise<void> {
    this.#buffer.push(text);
    this.#buffered += text.length;
    if (this.#buffered >= BUFFERED) await this.#flush();
  }

  /** Lets the file appear, in place of an older one. */
  async commit(): Promise<void> {
    await this.#flush();
    await explain("write", this.path, async () => {
      await this.handle.sync();
      this.#close();
      await Deno.rename(this.temporary, this.path);
      await syncDirectory(dirname(this.path));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOpen) return;
    this.#close();
    await Deno.remove(this.temporary);
  }

  #flush(): Promise<void> {
    const bytes = new TextEncoder().encode(this.#buffer.join(""));
    this.#buffer = [];
    this.#buffered = 0;
    return explain("write", this.path, async () => {
      for (let rest = bytes; rest.length > 0;) {
        rest = rest.subarray(await this.handle.write(rest));
      }
    });
  }

  #close(): void {
    this.#isOpen = false;
    this.handle.close();
  }
}
