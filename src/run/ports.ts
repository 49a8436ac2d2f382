// This module is browser compatible.
/**
 * What differs between a terminal, a server and a browser: where models, datasets, caches and outputs lie, the device, the
 * clock, and what interrupts. `src/platform/local_ports.ts` implements it on Deno.
 *
 * @module
 */
import type { Options } from "../config/resolve.ts";
import type { EncodeOptions } from "../data/encode.ts";
import type { Encoder } from "../data/encoder.ts";
import type { Dataset } from "../data/rows.ts";
import type { SplitChoice } from "../data/source.ts";
import type { Checkpoint } from "../model/load.ts";
import type { Cache } from "../formats/cache.ts";
import type { Directory, WritableDirectory } from "../formats/files.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Operand } from "../kernels/shapes.ts";
import type { MetricsLine, RunRecord, StepSample } from "../report/run_record.ts";
import type { TextTokenizer } from "../text/tokenizer.ts";
import type { CheckpointStorage } from "../train/checkpoint.ts";
import type { ModelIdentity } from "../train/identity.ts";

/** A model as an adapter names it, and what it is by content. */
export interface NamedModel {
  name: string;
  identity: () => Promise<ModelIdentity>;
}

/** A stored model, its files of weights open until it is disposed of. */
export interface StoredModel extends Checkpoint, Disposable {
  directory: Directory;
  tokenizer: TextTokenizer | null;
  /** Tokens that end a completion. */
  stopIds: number[];
  /** What it is, by content; its weights are read once for it. */
  identity: () => Promise<ModelIdentity>;
  /** Where it has trained adapters: how to go on with them, and the model that they are over. */
  adapted?: NonNullable<Checkpoint["adapted"]> & { base: NamedModel };
  /** How its weights are read, where that is not plain. */
  notes: readonly string[];
}

/** A device, the precision to use on it, and why. */
export interface OpenDevice {
  gpu: Gpu;
  precision: Operand;
  precisionReason: string;
}

export type DeviceOptions = Pick<Options<"eval">, "engine" | "adapter" | "precision">;

/** A cache, and how messages call it. */
export interface NamedCache extends Cache {
  readonly path: string;
}

/** What a run leaves behind: a directory with its metrics, its checkpoints and its model. */
export interface RunOutput {
  /** How messages call it. */
  readonly path: string;
  readonly files: WritableDirectory;
  /** All lines of metrics.jsonl. */
  readonly metrics: readonly MetricsLine[];
  /**
   * Appends a line to metrics.jsonl.
   *
   * @throws {UserError} If it cannot be written, for instance on a full disk.
   */
  log(line: MetricsLine): void;
  /** All lines of samples.jsonl. */
  readonly samples: readonly StepSample[];
  /** Appends lines to samples.jsonl. @throws {UserError} As {@link log}. */
  logSamples(lines: readonly StepSample[]): void;
  /**
   * Keeps the metrics and samples of the first `step` steps of an interrupted run; those after its checkpoint are made again.
   *
   * @param isEvaluated Whether an evaluation belongs behind a step; that of an earlier end is dropped.
   */
  keepMetrics(step: number, isEvaluated: (step: number) => boolean): Promise<void>;
  /** Opens its checkpoints for this process to write to. */
  checkpoints(): Promise<CheckpointStorage>;
  close(): Promise<void>;
}

/** The run directories of a folder, by their names. */
export interface Runs {
  /** null if there is none, or it has not ended. */
  get(name: string): Promise<{ record: RunRecord } | null>;
  /** All lines of its metrics.jsonl; none where there is no such file. */
  metrics(name: string): Promise<MetricsLine[]>;
  /** Steps with a checkpoint, in order; also of a run that goes on. */
  checkpoints(name: string): Promise<number[]>;
  /** Removes a run, such as one that ended before its first checkpoint and is to begin again. */
  remove(name: string): Promise<void>;
}

export interface Ports {
  /** @throws {UserError} If there is no such model. */
  openModel(pathOrId: string): Promise<StoredModel>;
  /** The files of a model, whose weights need not be there. @throws {UserError} If there is no such model. */
  openModelFiles(pathOrId: string): Promise<Directory>;
  /** @throws {UserError} If there is no such file or split. */
  openDataset(argument: string, choice: SplitChoice): Promise<Dataset>;
  /** @throws {UserError} If there is no such directory. */
  openDirectory(path: string): Promise<Directory>;
  /** @throws {UserError} If there is no such adapter, or it lacks f16 where that was asked for. */
  openDevice(options: DeviceOptions): Promise<OpenDevice>;
  /**
   * Opens the directory of a new run, or of one to go on with.
   *
   * @param resume Whether it may hold an earlier part of the run.
   * @param reportTo Where metrics go besides metrics.jsonl.
   * @throws {UserError} If it holds another run or another process is writing to it.
   */
  openOutput(
    path: string,
    resume: boolean,
    reportTo: Options<"train">["reportTo"],
  ): Promise<RunOutput>;
  /** The runs of a folder, which need not be there yet. */
  openRuns(path: string): Runs;
  /** Opens a folder to write to, and makes it where it is not there. */
  createDirectory(path: string): Promise<WritableDirectory>;
  /**
   * @param path null: the place for caches where the user named none.
   * @param warn Gets what is wrong with it, a sentence at a time.
   * @returns null if there is no place for one.
   */
  openCache(
    path: string | null,
    access: "read" | "write",
    warn: (text: string) => void,
  ): NamedCache | null;
  /** Workers that encode text. @param tokenizer The files of the model that has it. */
  openEncoder(workers: number, tokenizer: Directory, options: EncodeOptions): Encoder & Disposable;
  /** Digest of some of a folder's files and their names. */
  hashFiles(directory: Directory, isPart: (name: string) => boolean): Promise<string>;
  /** Digest of the code that makes tokens. */
  hashTokenCode(): Promise<string>;
  /** Versions of the programs at work, by name. */
  readonly versions: Readonly<Record<string, string>>;
  now(): Date;
  /** Aborted by the first interrupt: finish the step, save, and return. */
  readonly signal: AbortSignal;
}
