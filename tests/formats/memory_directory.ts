import { UserError } from "../../src/errors.ts";
import type { Chunks, FileReader, WritableDirectory } from "../../src/formats/files.ts";

/** A folder in memory, for tests that need many odd files. */
export class MemoryDirectory implements WritableDirectory {
  readonly name = "memory";
  readonly files = new Map<string, Uint8Array<ArrayBuffer>>();
  openFiles = 0;

  constructor(files: Record<string, string | Uint8Array<ArrayBuffer>> = {}) {
    for (const [name, content] of Object.entries(files)) {
      this.files.set(
        name,
        typeof content === "string" ? new TextEncoder().encode(content) : content,
      );
    }
  }

  list(): Promise<string[]> {
    return Promise.resolve([...this.files.keys()].sort());
  }

  has(file: string): Promise<boolean> {
    return Promise.resolve(this.files.has(file));
  }

  // deno-lint-ignore require-await -- a missing file has to reject, not throw
  async readText(file: string): Promise<string> {
    return new TextDecoder().decode(this.#get(file));
  }

  // deno-lint-ignore require-await -- a missing file has to reject, not throw
  async open(file: string): Promise<FileReader> {
    const bytes = this.#get(file);
    this.openFiles++;
    return {
      name: `memory/${file}`,
      size: bytes.length,
      read: (offset, length) => Promise.resolve(bytes.slice(offset, offset + length)),
      close: () => this.openFiles--,
    };
  }

  writeText(file: string, text: string): Promise<void> {
    return this.write(file, [new TextEncoder().encode(text)]);
  }

  async write(file: string, chunks: Chunks): Promise<void> {
    this.files.set(file, await collect(chunks));
  }

  #get(file: string): Uint8Array<ArrayBuffer> {
    const bytes = this.files.get(file);
    if (bytes === undefined) throw new UserError(`Cannot open memory/${file}: no such file`);
    return bytes;
  }
}

/** All bytes of `chunks`. */
export async function collect(chunks: Chunks): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(ReadableStream.from(chunks)).arrayBuffer());
}
