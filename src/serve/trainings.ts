// This module is browser compatible.
/** Trainings by preference as jobs of a server; what each leaves on disk is a run directory like any other. */
import type { Resolved } from "../config.ts";
import { UserError } from "../errors.ts";
import { type DeviceOptions, resolveTraining, type TrainingChoices } from "./job_options.ts";
import {
  isUnderWay,
  type Job,
  type JobQueue,
  newJobId,
  type Task,
  type Watch,
} from "./job_queue.ts";
import type { ModelPool, Reservation } from "./model_pool.ts";
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
  files: TrainingFiles;
  /** Folder that each training writes a folder of its own to. */
  output: string;
  device: DeviceOptions;
}

/** A training, and what its model is to be called. */
export class Training implements Task {
  readonly kind = "fine-tuning";
  trainedTokens = 0;
  #begun = false;

  constructor(
    readonly request: TrainingRequest,
    /** What its model will be called. */
    readonly name: string,
    readonly resolved: Resolved<"train">,
    readonly reservation: Reservation,
    readonly trainer: Trainer,
  ) {}

  get outcome(): string {
    return `New model: ${this.name}`;
  }

  async run(watch: Watch): Promise<boolean> {
    const { options } = this.resolved;
    const resolved = this.#begun
      ? { ...this.resolved, options: { ...options, resume: "latest" } }
      : this.resolved;
    this.#begun = true;
    const done = await this.trainer.train(resolved, {
      ...watch,
      onEvent: (event) => {
        if (event.type === "stepped") this.trainedTokens += event.metrics.tokens;
        watch.onEvent(event);
      },
    });
    if (!done) return false;
    const { name, request: { model } } = this;
    await this.reservation.load({ name, path: options.output!, root: model.name });
    return true;
  }

  end(): void {
    this.reservation.release();
  }
}

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

  /**
   * Takes a training; it begins when the jobs before it have ended.
   *
   * @throws {UserError} If an option is wrong or the name is taken.
   * @throws {PoolFull} If the pool has no room for its model.
   */
  async create(request: TrainingRequest): Promise<Job<Training>> {
    const { queue, trainer, pool, output } = this.settings;
    const id = newJobId("fine-tuning");
    const name = `ft:${request.model.name.replace(/^ft:/, "")}:${request.suffix ?? id}`;
    const resolved = await this.#resolve(request, `${output}/${id}`);
    // No waiting from here on, lest two requests find the same name free.
    const taken = pool.models.some((model) => model.name === name) ||
      this.jobs.some((job) => job.task.name === name && isUnderWay(job));
    if (taken) {
      throw new UserError(`Expected a suffix that no other model has, found "${request.suffix}"`);
    }
    const reservation = pool.reserve();
    try {
      return queue.add(new Training(request, name, resolved, reservation, trainer), id);
    } catch (error) {
      reservation.release();
      throw error;
    }
  }

  /**
   * What a training would be run with.
   *
   * @throws {UserError} If an option is wrong.
   */
  preview(request: TrainingRequest): Promise<Resolved<"train">> {
    return this.#resolve(request, null);
  }

  async #resolve(request: TrainingRequest, output: string | null): Promise<Resolved<"train">> {
    const { files, device } = this.settings;
    const { model, trainingFile, validationFile } = request;
    return resolveTraining(request, {
      model: model.path,
      dataset: await files.pathOf(trainingFile),
      evalDataset: validationFile && await files.pathOf(validationFile),
      output,
    }, device);
  }
}
