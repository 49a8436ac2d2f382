// This module is browser compatible.
import type { Component } from "./component.ts";

/** Longer clusters of characters are normalized character by character. */
const LONGEST_CLUSTER_BYTES = 6;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const clusters = new Intl.Segmenter("en", { granularity: "grapheme" });

/**
 * The rules of a SentencePiece model: a double-array trie of what is replaced, and the replacements, each ended by a zero.
 * As in Hugging Face's tokenizers, a cluster of characters is replaced as a whole by what its shortest known beginning
 * becomes.
 *
 * @throws {UserError} If the rules are no such thing.
 */
export function precompiledOf(component: Component): (text: string) => string {
  const bytes = bytesOf(component.text("precompiled_charsmap"));
  const refuse = () =>
    component.refuse("precompiled_charsmap", "the rules of a SentencePiece model");
  if (bytes === null || bytes.length < 4) return refuse();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const trieBytes = view.getUint32(0, true);
  if (trieBytes % 4 !== 0 || 4 + trieBytes > bytes.length) return refuse();
  const trie = Uint32Array.from(
    { length: trieBytes / 4 },
    (_, i) => view.getUint32(4 + 4 * i, true),
  );
  const replacements = bytes.subarray(4 + trieBytes);

  const replaced = (part: string): string | null => {
    const at = shortestMatch(trie, encoder.encode(part));
    if (at === null) return null;
    const end = replacements.indexOf(0, at);
    return decoder.decode(replacements.subarray(at, end < 0 ? undefined : end));
  };
  const replacedCluster = (cluster: string): string => {
    const whole = encoder.encode(cluster).length < LONGEST_CLUSTER_BYTES ? replaced(cluster) : null;
    return whole ?? Array.from(cluster, (character) => replaced(character) ?? character).join("");
  };
  return (text) =>
    Array.from(clusters.segment(text), ({ segment }) => replacedCluster(segment)).join("");
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.fromBase64(base64);
  } catch {
    return null;
  }
}

/** What the shortest beginning of `key` in a double-array trie (darts-clone) stands for; null if it has none. */
function shortestMatch(trie: Uint32Array, key: Uint8Array): number | null {
  const offset = (unit: number) => unit >>> 10 << ((unit & 1 << 9) >>> 6);
  let node = offset(trie[0]);
  for (const byte of key) {
    if (byte === 0) return null;
    node ^= byte;
    const unit = trie[node];
    if (unit === undefined || (unit & (1 << 31 | 0xff)) !== byte) return null;
    node ^= offset(unit);
    if (unit >>> 8 & 1) return trie[node] & 0x7fff_ffff;
  }
  return null;
}
