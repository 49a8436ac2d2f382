// This module is browser compatible.
/**
 * The datasets that jobs may use, by id: those that the server was allowed when it was started, those that were uploaded, and
 * the preferences that people gave. A request never names a path.
 *
 * @module
 */
import { exportedRows, type PreferenceStore } from "./preferences.ts";

/** The id of all preferences that are kept. */
export const PREFERENCES = "preferences";

/** A dataset that jobs may use. */
export interface TrainingFile {
  id: string;
  source: "allowed" | "upload" | "preferences";
  /** As `--dataset` names it; null where that is decided when a job begins. */
  path: string | null;
  filename: string;
  /** null where it is not one file of this machine. */
  bytes: number | null;
  /** null where they were not counted. */
  rows: number | null;
  /** Seconds since 1970. */
  createdAt: number;
}

/** Where uploads are kept, by what is in them. */
export interface UploadStore {
  /** The newest first. */
  list(): Promise<TrainingFile[]>;
  get(id: string): Promise<TrainingFile | null>;
  /**
   * Keeps a dataset, whole or not at all.
   *
   * @param name Its file's name, whose ending says how to read it.
   * @throws {UserError} If a row cannot be read as preference data; it names the row.
   */
  add(name: string, content: ReadableStream<Uint8Array>): Promise<TrainingFile>;
  /** @returns Whether there was one of that id. */
  remove(id: string): Promise<boolean>;
  /** Keeps lines of preferences as they are now. @returns Where. */
  keepPreferences(lines: Iterable<string>): Promise<string>;
}

/** See the module. */
export class TrainingFiles {
  /** @param allowed By id. */
  constructor(
    readonly allowed: ReadonlyMap<string, TrainingFile>,
    readonly uploads: UploadStore,
    readonly preferences: PreferenceStore,
  ) {}

  async list(): Promise<TrainingFile[]> {
    const given = this.#given();
    return [...this.allowed.values(), ...given ? [given] : [], ...await this.uploads.list()];
  }

  /** null if there is none of that id. */
  async get(id: string): Promise<TrainingFile | null> {
    if (id === PREFERENCES) return this.#given();
    return this.allowed.get(id) ?? await this.uploads.get(id);
  }

  /** Where a job finds a dataset. Preferences may change while it waits, so it gets a copy. */
  async pathOf({ path }: TrainingFile): Promise<string> {
    return path ?? await this.uploads.keepPreferences(exportedRows(this.preferences));
  }

  #given(): TrainingFile | null {
    const rows = this.preferences.count();
    if (rows === 0) return null;
    return {
      id: PREFERENCES,
      source: "preferences",
      path: null,
      filename: "preferences.jsonl",
      bytes: null,
      rows,
      createdAt: this.preferences.list(1)[0].created,
    };
  }
}
