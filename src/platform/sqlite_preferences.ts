import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite"; // comes with Deno: durable, and readable by anyone's tools
import { UserError } from "../errors.ts";
import type { Change, KeptPreference, Preference, PreferenceStore } from "../serve/preferences.ts";

/** Changes that can be undone; what was removed earlier is gone. */
const MOST_UNDONE = 100;
/** How long another process may keep the file locked. */
const LOCK_MS = 2000;
const VERSION = 1;

/** Messages are JSON. `before` is a row as JSON, NULL where there was none; the rows of a step are undone together. */
const TABLES = `
  CREATE TABLE pairs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    created INTEGER NOT NULL,
    model TEXT,
    prompt TEXT NOT NULL,
    chosen TEXT NOT NULL,
    rejected TEXT NOT NULL
  ) STRICT;
  CREATE INDEX pairs_by_prompt ON pairs (prompt);
  CREATE TABLE changes (
    step INTEGER NOT NULL,
    kind TEXT NOT NULL,
    pair INTEGER NOT NULL,
    before TEXT,
    PRIMARY KEY (step, pair)
  ) STRICT, WITHOUT ROWID;
  PRAGMA user_version = ${VERSION};
`;

/** A row of `pairs`. */
type Row = Record<"prompt" | "chosen" | "rejected", string> & {
  id: number;
  created: number;
  model: string | null;
};

/** Preferences in an SQLite file, which comes to be with the first of them. */
export class SqlitePreferences implements PreferenceStore {
  #database: DatabaseSync | null = null;

  private constructor(readonly path: string) {}

  /**
   * @param path The file, whose folder need not be there; `:memory:` for none.
   * @throws {UserError} If it is something else than such a file, or may not be written.
   */
  static async open(path: string): Promise<SqlitePreferences> {
    const { state } = await Deno.permissions.query({ name: "write", path });
    if (state !== "granted") {
      throw new UserError(
        `Cannot write ${path}: expected a file in runs/, the one folder that this command may write to`,
      );
    }
    const store = new SqlitePreferences(path);
    store.count(); // reads what is there
    return store;
  }

  count(): number {
    return this.#query<{ count: number }>("SELECT count(*) AS count FROM pairs")[0]?.count ?? 0;
  }

  list(limit: number, before: number = Number.MAX_SAFE_INTEGER): KeptPreference[] {
    const sql = "SELECT * FROM pairs WHERE id < ? ORDER BY id DESC LIMIT ?";
    return this.#query<Row>(sql, before, limit).map(keptOf);
  }

  add(preferences: readonly Preference[], model: string | null): KeptPreference[] {
    const created = Math.floor(Date.now() / 1000);
    return this.#change((record) =>
      preferences.flatMap((preference) => {
        const texts = textsOf(preference);
        const [row] = this.#query<Row>(
          `INSERT INTO pairs (created, model, prompt, chosen, rejected) SELECT ?1, ?2, ?3, ?4, ?5
           WHERE NOT EXISTS (SELECT 1 FROM pairs WHERE prompt = ?3 AND chosen = ?4 AND rejected = ?5) RETURNING *`,
          created,
          model,
          ...texts,
        );
        if (!row) return [];
        record("add", row.id, null);
        return [keptOf(row)];
      })
    );
  }

  replace(id: number, preference: Preference): KeptPreference | null {
    return this.#change((record) => {
      const [before] = this.#query<Row>("SELECT * FROM pairs WHERE id = ?", id);
      if (!before) return null;
      record("replace", id, before);
      const sql = "UPDATE pairs SET prompt = ?, chosen = ?, rejected = ? WHERE id = ? RETURNING *";
      return keptOf(this.#query<Row>(sql, ...textsOf(preference), id)[0]);
    });
  }

  remove(id: number): boolean {
    return this.#change((record) => {
      const [before] = this.#query<Row>("DELETE FROM pairs WHERE id = ? RETURNING *", id);
      if (before) record("remove", id, before);
      return before !== undefined;
    });
  }

  undo(): Change | null {
    return this.#transaction(() => {
      const changes = this.#query<{ kind: Change["kind"]; pair: number; before: string | null }>(
        "DELETE FROM changes WHERE step = (SELECT max(step) FROM changes) RETURNING *",
      );
      for (const { pair, before } of changes) {
        this.#query("DELETE FROM pairs WHERE id = ?", pair);
        if (before === null) continue;
        const { id, created, model, prompt, chosen, rejected }: Row = JSON.parse(before);
        const sql = "INSERT INTO pairs VALUES (?, ?, ?, ?, ?, ?)";
        this.#query(sql, id, created, model, prompt, chosen, rejected);
      }
      return changes.length > 0 ? { kind: changes[0].kind, count: changes.length } : null;
    });
  }

  close(): void {
    this.#database?.close();
    this.#database = null;
  }

  /** Makes a change, and remembers how to undo it. */
  #change<T>(
    make: (record: (kind: Change["kind"], pair: number, before: Row | null) => void) => T,
  ): T {
    return this.#transaction(() => {
      const [{ step }] = this.#query<{ step: number }>(
        "SELECT coalesce(max(step), 0) + 1 AS step FROM changes",
      );
      const result = make((kind, pair, before) => {
        const sql = "INSERT INTO changes VALUES (?, ?, ?, ?)";
        this.#query(sql, step, kind, pair, before && JSON.stringify(before));
      });
      this.#query("DELETE FROM changes WHERE step <= ?", step - MOST_UNDONE);
      return result;
    });
  }

  #transaction<T>(body: () => T): T {
    const database = this.#opened();
    database.exec("BEGIN IMMEDIATE");
    try {
      const result = body();
      database.exec("COMMIT");
      return result;
    } catch (error) {
      database.exec("ROLLBACK");
      throw error;
    }
  }

  /** @returns Rows; none while there is no file. */
  #query<T>(sql: string, ...values: (string | number | null)[]): T[] {
    if (!this.#database && !existsSync(this.path)) return [];
    return this.#opened().prepare(sql).all(...values) as T[];
  }

  /** @throws {UserError} If the file holds something else. */
  #opened(): DatabaseSync {
    if (this.#database) return this.#database;
    Deno.mkdirSync(dirname(this.path), { recursive: true });
    const database = new DatabaseSync(this.path);
    try {
      // The defaults stay: a rollback journal that is synced before a transaction ends. What is removed is overwritten.
      database.exec(
        `PRAGMA busy_timeout = ${LOCK_MS}; PRAGMA secure_delete = ON; BEGIN IMMEDIATE`,
      );
      const { version, tables } = database.prepare(
        "SELECT user_version AS version, (SELECT count(*) FROM sqlite_schema) AS tables FROM pragma_user_version",
      ).get() as { version: number; tables: number };
      if (version === 0 && tables === 0) database.exec(TABLES);
      else if (version !== VERSION) throw new Error("expected preferences, found other tables");
      database.exec("COMMIT");
    } catch (error) {
      database.close();
      const reason = (error as Error).message;
      throw new UserError(`Cannot open ${this.path}: ${reason}; name another --preferences`);
    }
    return this.#database = database;
  }
}

const textsOf = ({ prompt, chosen, rejected }: Preference): [string, string, string] => [
  JSON.stringify(prompt),
  JSON.stringify(chosen),
  JSON.stringify(rejected),
];

const keptOf = ({ id, created, model, prompt, chosen, rejected }: Row): KeptPreference => ({
  id,
  created,
  model,
  prompt: JSON.parse(prompt),
  chosen: JSON.parse(chosen),
  rejected: JSON.parse(rejected),
});
