import type { Cache } from "../../src/formats/cache.ts";

/** A cache in memory. Entries come as from the disk: in a buffer with something before them. */
export class MemoryCache implements Cache {
  readonly entries = new Map<string, Uint8Array<ArrayBuffer>>();

  get(key: string): Promise<Uint8Array<ArrayBuffer> | null> {
    return Promise.resolve(this.entries.get(key)?.subarray(32) ?? null);
  }

  async put(key: string, parts: readonly Uint8Array<ArrayBuffer>[]): Promise<void> {
    this.entries.set(key, await new Blob([new Uint8Array(32), ...parts]).bytes());
  }
}
