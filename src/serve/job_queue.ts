// This module is browser compatible.
/**
 * Long work that a server does beside its answers: one job at a time, the others wait. Each change is stored before anyone is told
 * of it, so that the next server goes on where this one ended.
 *
 * @module
 */
import { UserError } from "../errors.ts";
import type { MetricsLine } from "../report/run_record.ts";
import { wordsOf } from "../run/event_words.ts";
import type { Emit, RunEvent } from "../run/events.ts";

/** Who watches a task while it runs. */
export interface Watch {
  /** Ends the task where it can go on from. */
  signal: AbortSignal;
  onEvent: Emit;
}

/** What a job does. */
export interface Task {
  readonly kind: JobKind;
  /** What to say when it has succeeded. */
  readonly outcome: string;
  /**
   * Works, from where an earlier call stopped.
   *
   * @returns Whether it came to its end; false if the signal ended it.
   * @throws {UserError} If the client asked for what cannot be done.
   */
  run(watch: Watch): Promise<boolean>;
  /** Everything that another server needs to make the same task of it: plain data. */
  toJSON(): unknown;
}

export type JobKind = "fine-tuning" | "evaluation";

export interface JobEvent {
  /** Counted from 0 within the job. */
  number: number;
  /** Seconds since 1970. */
  createdAt: number;
  level: "info" | "error";
  message: string;
  /** Of a line of metrics.jsonl. */
  metrics: MetricsLine | null;
}

const UNDER_WAY = ["queued", "running", "paused"] as const;
export const JOB_STATUSES = [...UNDER_WAY, "succeeded", "failed", "cancelled"] as const;
export type JobStatus = typeof JOB_STATUSES[number];

export interface Job<T extends Task = Task> {
  readonly id: string;
  readonly task: T;
  /** Seconds since 1970, like `finishedAt`. */
  readonly createdAt: number;
  status: JobStatus;
  finishedAt: number | null;
  error: string | null;
  /** null until it is known. */
  totalSteps: number | null;
  /** The newest ones; metrics.jsonl has all. */
  events: JobEvent[];
}

/** A job as it is stored: `task` is what {@link Task.toJSON} gave. */
export type StoredJob = Omit<Job, "task"> & { kind: JobKind; task: unknown };

/** Where jobs outlast the server. */
export interface JobStore {
  /** All jobs with their events, the oldest first. */
  load(): StoredJob[];
  /** Stores a job with its new events. */
  save(job: StoredJob): void;
  /** Removes the events of a job, not the job. */
  dropEvents(id: string): void;
}

/** Makes a task of what {@link Task.toJSON} gave. */
export type Revive = Record<JobKind, (id: string, task: unknown) => Task>;

/** What a job becomes when its task has stopped before its end; queued, where the server closes. */
type Stopped = "paused" | "cancelled" | "queued";

interface Run {
  job: Job;
  controller: AbortController;
  then: Stopped;
  stopped: Promise<void>;
}

/** Newest events of a job that are kept. */
const MOST_EVENTS = 10_000;
const MOST_WAITING = 64;
/** Newest jobs that have ended whose events are kept. */
const MOST_ENDED = 100;

const PREFIX: Record<JobKind, string> = { "fine-tuning": "ftjob", evaluation: "eval" };

/** @returns `ftjob-` or `eval-`, and 24 digits that nobody has had before. */
export function newJobId(kind: JobKind): string {
  return `${PREFIX[kind]}-${crypto.randomUUID().replaceAll("-", "").slice(0, 24)}`;
}

export function isUnderWay({ status }: Pick<Job, "status">): boolean {
  return (UNDER_WAY as readonly string[]).includes(status);
}

/** See the module. */
export class JobQueue {
  readonly #jobs = new Map<string, Job>();
  readonly #followers = new Map<string, Set<() => void>>();
  #running: Run | null = null;
  #closed = false;
  /** Nothing is going to happen any more. */
  #isOver = false;

  /** @param log Gets the failures that are defects of ours. */
  constructor(readonly store: JobStore, readonly log: (line: string) => void) {}

  /**
   * Brings back the jobs of an earlier server. Those that waited go on by themselves; one that ran when its server died without a
   * word is paused: it may be what the server died of.
   */
  restore(revive: Revive): void {
    for (const { kind, ...stored } of this.store.load()) {
      const job: Job = { ...stored, task: revive[kind](stored.id, stored.task) };
      this.#jobs.set(job.id, job);
      if (job.status !== "running") continue;
      job.status = "paused";
      this.#tell(
        job,
        "The server ended while the job ran: resume it to go on from its last checkpoint",
      );
    }
    this.#work();
  }

  /** The newest first. */
  get jobs(): readonly Job[] {
    return [...this.#jobs.values()].reverse();
  }

  /** Those of one kind, the newest first. */
  jobsOf<T extends Task>(kind: abstract new (...parts: never[]) => T): Job<T>[] {
    return this.jobs.filter((job): job is Job<T> => job.task instanceof kind);
  }

  /**
   * Takes a job; it begins when those before it have ended.
   *
   * @throws {UserError} If too many wait.
   */
  add<T extends Task>(task: T, id = newJobId(task.kind)): Job<T> {
    const waiting = this.jobs.filter(isUnderWay).length;
    if (waiting >= MOST_WAITING) {
      throw new UserError(
        `Expected at most ${MOST_WAITING} jobs under way, found ${waiting}: cancel one`,
      );
    }
    const job: Job<T> = {
      id,
      task,
      createdAt: seconds(),
      status: "queued",
      finishedAt: null,
      error: null,
      totalSteps: null,
      events: [],
    };
    this.#jobs.set(id, job);
    this.#dropOldEvents();
    this.#tell(job, `Created ${task.kind} job: ${id}`);
    this.#work();
    return job;
  }

  /** @throws {UserError} If the job has ended. */
  async cancel(job: Job): Promise<void> {
    if (!isUnderWay(job)) throw wrongState(job, UNDER_WAY);
    await this.#stop(job, "cancelled");
  }

  /**
   * Frees the GPU for the next job; the task can go on from where it stopped.
   *
   * @throws {UserError} If the job neither runs nor waits.
   */
  async pause(job: Job): Promise<void> {
    if (!isUnderWay(job) || job.status === "paused") throw wrongState(job, ["queued", "running"]);
    await this.#stop(job, "paused");
  }

  /**
   * Lets a paused job wait for its turn again.
   *
   * @throws {UserError} If the job is not paused.
   */
  resume(job: Job): void {
    if (job.status !== "paused") throw wrongState(job, ["paused"]);
    job.status = "queued";
    this.#tell(job, "The job is queued again");
    this.#work();
  }

  /** Yields the events behind a number, then those to come until the job has ended. */
  async *follow(job: Job, after: number, signal: AbortSignal): AsyncGenerator<JobEvent> {
    const followers = this.#followers.getOrInsertComputed(job.id, () => new Set());
    let wake = () => {};
    const follower = () => wake();
    followers.add(follower);
    signal.addEventListener("abort", follower, { once: true });
    try {
      for (let next = after + 1; !signal.aborted;) {
        const { promise: more, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        const first = job.events[0]?.number ?? 0;
        for (const event of job.events.slice(Math.max(0, next - first))) {
          yield event;
          next = event.number + 1;
        }
        const told = (job.events.at(-1)?.number ?? -1) < next;
        if (told && (!isUnderWay(job) || this.#isOver)) return;
        if (told) await more;
      }
    } finally {
      followers.delete(follower);
    }
  }

  /** Stops the running job where it can go on from, and begins no other: the next server does. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#running) await this.#stop(this.#running.job, "queued");
    this.#isOver = true;
    for (const followers of this.#followers.values()) for (const follower of followers) follower();
  }

  async #stop(job: Job, then: Stopped): Promise<void> {
    const running = this.#running;
    if (running?.job !== job) return this.#settle(job, then);
    running.then = then;
    running.controller.abort();
    await running.stopped;
  }

  #work(): void {
    const job = this.#jobs.values().find(({ status }) => status === "queued");
    if (this.#running || !job || this.#closed) return;
    const { promise: stopped, resolve } = Promise.withResolvers<void>();
    const run: Run = { job, controller: new AbortController(), then: "cancelled", stopped };
    this.#running = run;
    this.#run(run).finally(() => {
      this.#running = null;
      resolve();
      this.#work();
    });
  }

  async #run(run: Run): Promise<void> {
    const { job, controller } = run;
    job.status = "running";
    this.#tell(job, "The job runs");
    try {
      const done = await job.task.run({
        signal: controller.signal,
        onEvent: (event) => this.#take(job, event),
      });
      this.#settle(job, done ? "succeeded" : run.then);
    } catch (error) {
      const mendable = error instanceof UserError;
      if (!mendable) this.log(`error      ${(error as Error).stack ?? error}`);
      job.error = mendable ? error.message : "The server failed at this job; its log says why";
      this.#settle(job, "failed");
    }
  }

  #take(job: Job, event: RunEvent): void {
    if (event.type === "planned") job.totalSteps = event.plan.totalSteps;
    const lines = wordsOf(event).filter(({ detail }) => !detail).flatMap(({ text }) =>
      text.split("\n").filter(Boolean)
    );
    for (const line of lines) this.#tell(job, line);
    if (event.type === "stepped" || event.type === "evaluated") {
      const { metrics } = event;
      this.#tell(job, inWords(metrics), { metrics });
    }
  }

  #settle(job: Job, status: Exclude<JobStatus, "running">): void {
    job.status = status;
    if (!isUnderWay(job)) job.finishedAt = seconds();
    const message = {
      queued: "The server is closing; the job goes on when it is started again",
      paused: "The job is paused",
      cancelled: "The job was cancelled",
      succeeded: job.task.outcome,
      failed: job.error ?? "",
    };
    this.#tell(job, message[status], { level: status === "failed" ? "error" : "info" });
  }

  #tell(job: Job, message: string, rest: Partial<Pick<JobEvent, "level" | "metrics">> = {}): void {
    const number = (job.events.at(-1)?.number ?? -1) + 1;
    job.events.push({
      number,
      createdAt: seconds(),
      level: "info",
      message,
      metrics: null,
      ...rest,
    });
    if (job.events.length > MOST_EVENTS) job.events.shift();
    this.store.save({ ...job, kind: job.task.kind, task: job.task.toJSON() });
    for (const follower of this.#followers.get(job.id) ?? []) follower();
  }

  #dropOldEvents(): void {
    const ended = this.jobs.filter((job) => !isUnderWay(job));
    for (const job of ended.slice(MOST_ENDED).filter(({ events }) => events.length > 0)) {
      job.events = [];
      this.store.dropEvents(job.id);
    }
  }
}

const seconds = () => Math.floor(Date.now() / 1000);

function wrongState({ id, status }: Job, expected: readonly string[]): UserError {
  return new UserError(`Expected ${id} to be ${expected.join(" or ")}, found it ${status}`);
}

function inWords({ step, ...metrics }: MetricsLine): string {
  const loss = metrics.loss ??
    Object.entries(metrics).find(([name]) => /^eval_(.+_)?loss$/.test(name))?.[1];
  const what = "loss" in metrics ? "training loss" : "held-out loss";
  return `Step ${step}: ${what}=${loss?.toFixed(4)}`;
}
