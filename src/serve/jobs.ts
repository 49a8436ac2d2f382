// This module is browser compatible.
/**
 * Trainings by preference that a server runs beside its answers: one at a time, the others wait. What is known of a job is kept
 * as long as the server runs; what it leaves on disk is a run directory like any other.
 *
 * @module
 */
import type { Resolved } from "../config.ts";
import { UserError } from "../errors.ts";
import type { MetricsLine } from "../train/run_record.ts";
import { checkHyperparameters, type Device, type JobRequest, resolveJob } from "./job_options.ts";
import type { ServedModel } from "./serving.ts";

/** A training to be run, and what its model is to be called. */
export interface TrainingOrder {
  name: string;
  /** The served model whose tokenizer it has. */
  root: string;
  resolved: Resolved<"train">;
}

export interface TrainingWatch {
  /** Ends the training after its step, with a checkpoint. */
  signal: AbortSignal;
  /** Gets each line of metrics.jsonl. */
  onMetrics(line: MetricsLine): void;
  /** Gets what `train` says to people. */
  onLine(line: string): void;
}

/** Who can train, on whatever GPU. */
export interface Trainer {
  /**
   * Trains, and serves the new model.
   *
   * @returns null if the signal ended it.
   * @throws {UserError} As the command `train`.
   */
  train(order: TrainingOrder, watch: TrainingWatch): Promise<ServedModel | null>;
}

/** A dataset that jobs may use. */
export interface TrainingFile {
  path: string;
  /** null where it is not one file of this machine. */
  bytes: number | null;
}

export interface JobSettings {
  /** Where each served model is stored. */
  models: Map<string, string>;
  /** Datasets by the names that requests may use. */
  files: ReadonlyMap<string, TrainingFile>;
  /** Folder that each job writes a folder of its own to. */
  output: string;
  /** Trained models that are served or under way, at most. */
  most: number;
  device: Device;
  /** Gets the failures that are defects of ours. */
  log: (line: string) => void;
}

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
type Ended = "succeeded" | "failed" | "cancelled";

export interface Job extends TrainingOrder {
  readonly id: string;
  readonly request: JobRequest;
  readonly createdAt: number;
  status: typeof UNDER_WAY[number] | Ended;
  finishedAt: number | null;
  error: string | null;
  trainedTokens: number;
  /** The newest ones; metrics.jsonl has all. */
  events: JobEvent[];
}

/** What a job needs while it runs. */
interface Run {
  controller: AbortController;
  /** What it becomes when it has stopped. */
  then: "paused" | "cancelled";
  stopped: Promise<void>;
}

/** Events of a job, and jobs that have ended, that are remembered. */
const MOST_EVENTS = 10_000;
const MOST_ENDED = 100;

/** See the module. */
export class JobQueue {
  readonly #jobs = new Map<string, Job>();
  readonly #followers = new Map<string, Set<() => void>>();
  #running: { job: Job; run: Run } | null = null;
  #closed = false;

  constructor(readonly trainer: Trainer, readonly settings: JobSettings) {}

  /** The newest first. */
  get jobs(): readonly Job[] {
    return [...this.#jobs.values()].reverse();
  }

  get(id: string): Job | undefined {
    return this.#jobs.get(id);
  }

  /** Whether there is room for one more model. */
  get isFull(): boolean {
    const holds = (job: Job) => job.status === "succeeded" || isUnderWay(job);
    return this.jobs.filter(holds).length >= this.settings.most;
  }

  /**
   * Takes a job; it begins when those before it have ended.
   *
   * @param request Its model is served, and its files are among those of the settings.
   * @param root The served model whose tokenizer its model has.
   * @throws {UserError} If an option is wrong or the name is taken.
   */
  create(request: JobRequest, root: string): Job {
    const { models, files, output, device } = this.settings;
    const id = `ftjob-${crypto.randomUUID().replaceAll("-", "").slice(0, 24)}`;
    const name = `ft:${request.model.replace(/^ft:/, "")}:${request.suffix ?? id}`;
    if (models.has(name) || this.jobs.some((job) => job.name === name && isUnderWay(job))) {
      throw new UserError(`Expected a suffix of its own, found "${request.suffix}" in use`);
    }
    const pathOf = (file: string) => files.get(file)!.path;
    checkHyperparameters(request);
    const resolved = resolveJob(request, {
      model: models.get(request.model)!,
      dataset: pathOf(request.trainingFile),
      evalDataset: request.validationFile === null ? null : pathOf(request.validationFile),
      output: `${output}/${id}`,
    }, device);
    const job: Job = {
      id,
      name,
      root,
      resolved,
      request,
      createdAt: seconds(),
      status: "queued",
      finishedAt: null,
      error: null,
      trainedTokens: 0,
      events: [],
    };
    this.#jobs.set(id, job);
    this.#forget();
    this.#tell(job, `Created fine-tuning job: ${id}`);
    this.#work();
    return job;
  }

  /** @throws {UserError} If the job has ended. */
  async cancel(job: Job): Promise<void> {
    if (!isUnderWay(job)) throw wrongState(job, UNDER_WAY);
    await this.#stop(job, "cancelled");
  }

  /**
   * Frees the GPU for the next job; the state of the training is kept in a checkpoint.
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
        if (told && !isUnderWay(job)) return;
        if (told) await more;
      }
    } finally {
      followers.delete(follower);
    }
  }

  /** Ends what is under way, the running job with a checkpoint. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(
      this.jobs.filter(isUnderWay).map((job) => this.#stop(job, "cancelled")),
    );
  }

  async #stop(job: Job, then: Run["then"]): Promise<void> {
    const running = this.#running;
    if (running?.job !== job) return this.#settle(job, then);
    running.run.then = then;
    running.run.controller.abort();
    await running.run.stopped;
  }

  #work(): void {
    const job = this.#jobs.values().find(({ status }) => status === "queued");
    if (this.#running || !job || this.#closed) return;
    const { promise: stopped, resolve } = Promise.withResolvers<void>();
    const run: Run = { controller: new AbortController(), then: "cancelled", stopped };
    this.#running = { job, run };
    this.#train(job, run).finally(() => {
      this.#running = null;
      resolve();
      this.#work();
    });
  }

  async #train(job: Job, run: Run): Promise<void> {
    const { models, log } = this.settings;
    const { name, root, resolved } = job;
    job.status = "running";
    this.#tell(job, "The job runs");
    try {
      const served = await this.trainer.train({ name, root, resolved }, {
        signal: run.controller.signal,
        onLine: (line) => this.#tell(job, line),
        onMetrics: (metrics) => {
          job.trainedTokens += metrics.tokens ?? 0;
          this.#tell(job, inWords(metrics), { metrics });
        },
      });
      if (served) models.set(name, resolved.options.output!);
      this.#settle(job, served ? "succeeded" : run.then);
    } catch (error) {
      const mendable = error instanceof UserError;
      if (!mendable) log(`error      ${(error as Error).stack ?? error}`);
      job.error = mendable ? error.message : "The server failed at this job; its log says why";
      this.#settle(job, "failed");
    }
  }

  /** Another training of the run directory goes on from its checkpoint. */
  #settle(job: Job, status: Run["then"] | Ended): void {
    const { options } = job.resolved;
    const began = this.#running?.job === job;
    job.status = status;
    if (status === "paused") {
      if (began) {
        job.resolved = { ...job.resolved, options: { ...options, resume: "latest" } };
      }
    } else job.finishedAt = seconds();
    const message = {
      paused: "The job is paused",
      cancelled: "The job was cancelled",
      succeeded: `New model: ${job.name}`,
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
    this.#wake(job.id);
  }

  #wake(id: string): void {
    for (const follower of this.#followers.get(id) ?? []) follower();
  }

  /** Lets go of the oldest jobs without a model that is served. */
  #forget(): void {
    const ended = this.jobs.filter(({ status }) => status === "failed" || status === "cancelled");
    for (const { id } of ended.slice(MOST_ENDED)) {
      this.#jobs.delete(id);
      this.#followers.delete(id);
    }
  }
}

export function isUnderWay({ status }: Pick<Job, "status">): boolean {
  return (UNDER_WAY as readonly string[]).includes(status);
}

const seconds = () => Math.floor(Date.now() / 1000);

function wrongState({ id, status }: Job, expected: readonly string[]): UserError {
  return new UserError(`Expected ${id} to be ${expected.join(" or ")}, found it ${status}`);
}

function inWords({ step, ...metrics }: MetricsLine): string {
  const loss = metrics.loss ?? metrics.eval_loss;
  const what = "loss" in metrics ? "training loss" : "held-out loss";
  return `Step ${step}: ${what}=${loss?.toFixed(4)}`;
}
