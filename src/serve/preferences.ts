// This module is browser compatible.
/**
 * Preferences that people give while a model is served: pairs of answers, kept until they are trained on.
 *
 * @module
 */
import type { Message } from "../text/chat.ts";

/** A prompt, the answer that was preferred, and the other; as `train --dataset` reads them. */
export interface Preference {
  prompt: readonly Message[];
  chosen: readonly Message[];
  rejected: readonly Message[];
}

/** A preference that is kept. */
export interface KeptPreference extends Preference {
  id: number;
  /** When it was given, in seconds since 1970. */
  created: number;
  /** Whose answers they are; null where nobody said. */
  model: string | null;
}

/** What a change did, and to how many preferences. */
export interface Change {
  kind: "add" | "replace" | "remove";
  count: number;
}

/** Where preferences are kept. A change has lasted when its method returns. */
export interface PreferenceStore {
  count(): number;
  /**
   * @param limit The most to return.
   * @param before Only such as have a smaller id.
   * @returns Newest first.
   */
  list(limit: number, before?: number): KeptPreference[];
  /** @returns What was added: all but those that are there with the same texts. */
  add(preferences: readonly Preference[], model: string | null): KeptPreference[];
  /** @returns The preference as it is now; null if there is none of that id. */
  replace(id: number, preference: Preference): KeptPreference | null;
  /** @returns Whether there was one of that id. */
  remove(id: number): boolean;
  /** Takes the last change back, then the one before it, and so on. @returns What was undone; null if there is no more. */
  undo(): Change | null;
}

/** Rows of an export that are in memory at a time. */
const EXPORT_ROWS = 256;

/** Yields all preferences as lines of a dataset, the newest first, some at a time: the store may be large. */
export function* exportedRows(store: PreferenceStore): Generator<string> {
  for (
    let page: KeptPreference[], before: number | undefined;
    (page = store.list(EXPORT_ROWS, before)).length > 0;
  ) {
    yield page.map(({ prompt, chosen, rejected }) =>
      `${JSON.stringify({ prompt, chosen, rejected })}\n`
    ).join("");
    before = page.at(-1)!.id;
  }
}
