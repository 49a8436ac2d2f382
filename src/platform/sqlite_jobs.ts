import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { UserError } from "../errors.ts";
import type { JobEvent, JobStore, StoredJob } from "../serve/job_queue.ts";

const VERSION = 1;

/** `state` and `event` are JSON. */
const TABLES = `
  CREATE TABLE jobs (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, state TEXT NOT NULL) STRICT;
  CREATE TABLE events (
    job TEXT NOT NULL,
    number INTEGER NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (job, number)
  ) STRICT, WITHOUT ROWID;
  PRAGMA user_version = ${VERSION};
`;

/** Jobs in an SQLite file. What was saved is there after the process was killed; a power failure may take the last moments. */
export class SqliteJobs implements JobStore, Disposable {
  /** Number of the last stored event, by job. */
  readonly #stored = new Map<string, number>();

  private constructor(readonly database: DatabaseSync) {}

  /**
   * @param path The file, whose folder need not be there; `:memory:` for none.
   * @returns null if another server has it: two on the same jobs would run them twice.
   * @throws {UserError} If it is something else than such a file.
   */
  static open(path: string): SqliteJobs | null {
    if (path !== ":memory:") mkdirSync(dirname(path), { recursive: true });
    const database = new DatabaseSync(path);
    try {
      database.exec(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE",
      );
      const { user_version: version } = database.prepare("PRAGMA user_version").get() as {
        user_version: number;
      };
      if (version === 0) database.exec(TABLES);
      else if (version !== VERSION) throw new Error("expected jobs, found other tables");
      database.exec("COMMIT");
    } catch (error) {
      database.close();
      const reason = (error as Error).message;
      if (/locked/.test(reason)) return null;
      throw new UserError(`Cannot open ${path}: ${reason}`);
    }
    return new SqliteJobs(database);
  }

  load(): StoredJob[] {
    const jobs = this.database.prepare("SELECT state FROM jobs ORDER BY number").all();
    const events = this.database.prepare("SELECT event FROM events WHERE job = ? ORDER BY number");
    return jobs.map(({ state }) => {
      const job: Omit<StoredJob, "events"> = JSON.parse(state as string);
      const told = events.all(job.id).map(({ event }): JobEvent => JSON.parse(event as string));
      this.#stored.set(job.id, told.at(-1)?.number ?? -1);
      return { ...job, events: told };
    });
  }

  save({ events, ...state }: StoredJob): void {
    this.#transaction(() => {
      this.database.prepare(
        "INSERT INTO jobs (id, state) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state",
      ).run(state.id, JSON.stringify(state));
      const insert = this.database.prepare("INSERT INTO events VALUES (?, ?, ?)");
      const last = this.#stored.get(state.id) ?? -1;
      const first = events.findLastIndex(({ number }) => number <= last) + 1;
      for (const event of events.slice(first)) {
        insert.run(state.id, event.number, JSON.stringify(event));
      }
      const [oldest, newest] = [events[0], events.at(-1)];
      if (oldest === undefined || newest === undefined) return;
      this.database.prepare("DELETE FROM events WHERE job = ? AND number < ?")
        .run(state.id, oldest.number);
      this.#stored.set(state.id, newest.number);
    });
  }

  dropEvents(id: string): void {
    this.database.prepare("DELETE FROM events WHERE job = ?").run(id);
  }

  [Symbol.dispose](): void {
    this.database.close();
  }

  #transaction(body: () => void): void {
    this.database.exec("BEGIN");
    try {
      body();
      this.database.exec("COMMIT");
    } catch (error) {
      this.database.exec("ROLLBACK");
      throw error;
    }
  }
}
