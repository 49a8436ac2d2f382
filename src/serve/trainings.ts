// This module is browser compatible.
/** Trainings by preference as jobs of a server; what each leaves on disk is a run directory like any other. */
import type { Resolved } from "../config/resolve.ts";
import { UserError } from "../errors.ts";
import { checkMetricName } from "../run/metric_name.ts";
import { type DeviceOptions, resolveTraining, type TrainingChoices } from "./job_options.ts";
import {
  isUnderWay,
  type Job,
  type JobQueue,
  newJobId,
  type Task,
  type Watch,
} from "./job_queue.ts";
import type { ModelPool } from "./model_pool.ts";
import type { RunStore } from "./runs.ts";
import type { TrainingFile, TrainingFiles } from "./training_files.ts";

/** Who can train, on whatever GPU. */
export interface Trainer {
  /**
   * Trains as the command `train` does.
   *
   * @returns Whether it came to its end; false if the signal ended it, with a checkpoint.
   * @throws {UserError} As `train` of src/run.
   */
  train(resolved: Resolved<"train">, watch: Watch): Promise<boolean>;
}

/** What a client asks for, its names looked up. */
export interface TrainingRequest extends TrainingChoices {
  model: NamedModel;
  trainingFile: TrainingFile;
  validationFile: TrainingFile | null;
  /** Several held-out sets, by name, in the place of a `validationFile`. */
  heldOutFiles?: Readonly<Record<string, TrainingFile>>;
  suffix: string | null;
  metadata: Readonly<Record<string, string>> | null;
}

/** A model that jobs can begin with, and where it is stored. */
export interface NamedModel {
  name: string;
  path: string;
}

export interface TrainingSettings {
  queue: JobQueue;
  trainer: Trainer;
  pool: ModelPool;
  runs: RunStore;
  files: TrainingFiles;
  /** Folder that each training writes a folder of its own to. */
  output: string;
  device: DeviceOptions;
}

/** A training, and what its model is to be called. */
export class Training implements Task {
  readonly kind = "fine-tuning";
  trainedTokens = 0;

  constructor(
    readonly id: string,
    readonly request: TrainingRequest,
    /** What its model will be called. */
    readonly name: string,
    readonly resolved: Resolved<"train">,
    readonly settings: Pick<TrainingSettings, "trainer" | "pool" | "runs">,
  ) {}

  get outcome(): string {
    return `New model: ${this.name}`;
  }

  toJSON(): StoredTraining {
    const { request, name, resolved, trainedTokens } = this;
    return { request, name, resolved, trainedTokens };
  }

  async run(watch: Watch): Promise<boolean> {
    const { trainer, pool, runs } = this.settings;
    const { options } = this.resolved;
    const goesOn = (await runs.checkpoints(this.id)).length > 0;
    if (!goesOn) await runs.remove(this.id);
    if (watch.signal.aborted) return false;
    const resolved = goesOn
      ? { ...this.resolved, options: { ...options, resume: "latest" } }
      : this.resolved;
    const done = await trainer.train(resolved, watch);
    const metrics = await runs.metrics(this.id);
    this.trainedTokens = metrics.reduce((sum, { tokens = 0 }) => sum + tokens, 0);
    if (!done) return false;
    const { name, request: { model } } = this;
    await pool.add({ name, path: options.output!, root: model.name });
    return true;
  }
}

type StoredTraining = Pick<Training, "request" | "name" | "resolved" | "trainedTokens">;

/** See the module. */
export class Trainings {
  constructor(readonly settings: TrainingSettings) {}

  /** The newest first. */
  get jobs(): Job<Training>[] {
    return this.settings.queue.jobsOf(Training);
  }

  get(id: string): Job<Training> | undefined {
    return this.jobs.find((job) => job.id === id);
  }

  /** For {@link JobQueue.restore}. */
  revive(id: string, stored: unknown): Training {
    const { request, name, resolved, trainedTokens } = stored as StoredTraining;
    const training = new Training(id, request, name, resolved, this.settings);
    return Object.assign(training, { trainedTokens });
  }

  /** Lets the pool know the models of trainings that have succeeded, under the names that clients were given. */
  async offerModels(): Promise<void> {
    const { pool, runs } = this.settings;
    for (const { id, task, status } of this.jobs) {
      const path = status === "succeeded" ? await runs.pathOf(id, null) : null;
      if (path !== null) pool.offer({ name: task.name, path, root: task.request.model.name });
    }
  }

  /**
   * Takes a training; it begins when the jobs before it have ended.
   *
   * @throws {UserError} If an option is wrong, no evaluation has the metric that chooses, or the name is taken.
   */
  async create(request: TrainingRequest): Promise<Job<Training>> {
    const { queue, pool, output } = this.settings;
    const id = newJobId("fine-tuning");
    const name = `ft:${request.model.name.replace(/^ft:/, "")}:${request.suffix ?? id}`;
    const resolved = await this.#resolve(request, `${output}/${id}`);
    // No waiting from here on, lest two requests find the same name free.
    const taken = pool.knows(name) ||
      this.jobs.some((job) => job.task.name === name && isUnderWay(job));
    if (taken) {
      throw new UserError(`Expected a suffix that no other model has, found "${request.suffix}"`);
    }
    return queue.add(new Training(id, request, name, resolved, this.settings), id);
  }

  /**
   * What a training would be run with.
   *
   * @throws {UserError} If an option is wrong, or no evaluation has the metric that chooses.
   */
  preview(request: TrainingRequest): Promise<Resolved<"train">> {
    return this.#resolve(request, null);
  }

  async #resolve(request: TrainingRequest, output: string | null): Promise<Resolved<"train">> {
    const { files, device } = this.settings;
    const { model, trainingFile, validationFile, heldOutFiles } = request;
    const heldOut: Record<string, string> = {};
    for (const [name, file] of Object.entries(heldOutFiles ?? {})) {
      heldOut[name] = await files.pathOf(file);
    }
    const resolved = resolveTraining(request, {
      model: model.path,
      dataset: await files.pathOf(trainingFile),
      evalDataset: heldOutFiles ? heldOut : validationFile && await files.pathOf(validationFile),
      output,
    }, device);
    checkMetricName(resolved.options);
    return resolved;
  }
}
