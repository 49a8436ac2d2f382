// This module is browser compatible.

/** A store of what took time to compute. It is never required: an entry may be missing at any time. */
export interface Cache {
  /** @returns The bytes that were put under the key, every one of them; null if there are none. */
  get(key: string): Promise<Uint8Array<ArrayBuffer> | null>;
  /** Stores bytes if that is possible. */
  put(key: string, parts: readonly Uint8Array<ArrayBuffer>[]): Promise<void>;
}

/** Places of entries to verify, of `count`: at equal distances, the first and the last among them. */
export function spread(count: number, size: number): number[] {
  const most = Math.min(count, size);
  return Array.from(
    { length: most },
    (_, i) => Math.round(i * (count - 1) / Math.max(1, most - 1)),
  );
}

/** The key of what is computed from `content` and nothing else: a digest of its JSON. */
export async function cacheKey(content: unknown): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify(content));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}
