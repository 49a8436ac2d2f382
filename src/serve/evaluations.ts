// This module is browser compatible.
/** Evaluations as jobs of a server: how a stored model does on preference pairs, against a reference. */
import type { Resolved } from "../config/resolve.ts";
import { type DeviceOptions, type GivenOptions, resolveEvaluation } from "./job_options.ts";
import type { Job, JobQueue, Task, Watch } from "./job_queue.ts";
import type { TrainingFile, TrainingFiles } from "./training_files.ts";
import type { NamedModel } from "./trainings.ts";

/** What an evaluation found, as `eval --json` has it. */
export type EvaluationResults = Readonly<Record<string, unknown>>;

/** Who can evaluate, on whatever GPU. */
export interface Evaluator {
  /**
   * Evaluates as the command `eval` does.
   *
   * @returns null if the signal ended it.
   * @throws {UserError} As `evaluate` of src/run.
   */
  evaluate(resolved: Resolved<"eval">, watch: Watch): Promise<EvaluationResults | null>;
}

/** What a client asks for, its names looked up. */
export interface EvaluationRequest {
  model: NamedModel;
  /** null: the model itself. */
  reference: NamedModel | null;
  file: TrainingFile;
  options: GivenOptions;
}

export interface EvaluationSettings {
  queue: JobQueue;
  evaluator: Evaluator;
  files: TrainingFiles;
  device: DeviceOptions;
}

export class Evaluation implements Task {
  readonly kind = "evaluation";
  readonly outcome = "Evaluated";
  results: EvaluationResults | null = null;

  constructor(
    readonly request: EvaluationRequest,
    readonly resolved: Resolved<"eval">,
    readonly evaluator: Evaluator,
  ) {}

  async run(watch: Watch): Promise<boolean> {
    this.results = await this.evaluator.evaluate(this.resolved, watch);
    return this.results !== null;
  }

  toJSON(): StoredEvaluation {
    const { request, resolved, results } = this;
    return { request, resolved, results };
  }
}

type StoredEvaluation = Pick<Evaluation, "request" | "resolved" | "results">;

/** See the module. */
export class Evaluations {
  constructor(readonly settings: EvaluationSettings) {}

  /** The newest first. */
  get jobs(): Job<Evaluation>[] {
    return this.settings.queue.jobsOf(Evaluation);
  }

  get(id: string): Job<Evaluation> | undefined {
    return this.jobs.find((job) => job.id === id);
  }

  /** For {@link JobQueue.restore}. */
  revive(stored: unknown): Evaluation {
    const { request, resolved, results } = stored as StoredEvaluation;
    return Object.assign(new Evaluation(request, resolved, this.settings.evaluator), { results });
  }

  /**
   * Takes an evaluation; it begins when the jobs before it have ended.
   *
   * @throws {UserError} If an option is wrong.
   */
  async create(request: EvaluationRequest): Promise<Job<Evaluation>> {
    const { queue, evaluator, files, device } = this.settings;
    const { model, reference, file, options } = request;
    const resolved = resolveEvaluation(options, {
      model: model.path,
      reference: reference && reference.path,
      dataset: await files.pathOf(file),
    }, device);
    return queue.add(new Evaluation(request, resolved, evaluator));
  }
}
