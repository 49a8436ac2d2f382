import { UserError } from "../errors.ts";
import { EVENT_FILE, scalarsRecord, textsRecord, versionRecord } from "../formats/tensorboard.ts";
import type { WritableDirectory } from "../formats/files.ts";
import type { CheckpointStorage } from "../train/checkpoint.ts";
import { openCheckpointStorage } from "./checkpoint_storage.ts";
import { createDirectory, explain, explained } from "./files.ts";
import type { RunOutput } from "../run/ports.ts";
import { isEvaluation, type MetricsLine, type StepSample } from "../report/run_record.ts";

const METRICS = "metrics.jsonl", SAMPLES = "samples.jsonl";
const LOCK = ".lock";

/** The directory that a run leaves behind; one process at a time writes to it. */
export class RunDirectory implements RunOutput {
  readonly metrics: MetricsLine[] = [];
  readonly samples: StepSample[] = [];
  #metricsFile: Deno.FsFile;
  /** Of TensorBoard. */
  #events: Deno.FsFile | null;

  private constructor(
    readonly path: string,
    readonly files: WritableDirectory,
    readonly lock: Deno.FsFile,
    metricsFile: Deno.FsFile,
    events: Deno.FsFile | null,
  ) {
    this.#metricsFile = metricsFile;
    this.#events = events;
  }

  /**
   * Opens the directory of a new run, or of one to go on with.
   *
   * @param resume Whether the directory may hold an earlier part of the run.
   * @param reportTo `tensorboard`: with an event file beside metrics.jsonl.
   * @throws {UserError} If it holds another run or another process is writing to it.
   */
  static async open(
    path: string,
    resume: boolean,
    reportTo: "none" | "tensorboard" = "none",
  ): Promise<RunDirectory> {
    const files = await createDirectory(path);
    const present = await files.list();
    if (!resume && present.some((name) => name !== LOCK)) {
      throw new UserError(
        `Expected --output to be new or empty, found ${present.length} files in ${path}: ` +
          "give another directory, or --resume to go on from its checkpoint",
      );
    }
    const lock = await explain(
      "open",
      path,
      () => Deno.open(`${path}/${LOCK}`, { create: true, write: true }),
    );
    if (!await lock.tryLock(true)) {
      lock.close();
      throw new UserError(
        `Expected --output ${path} to be free, found another process writing to it: wait for it or give another directory`,
      );
    }
    const metricsFile = await explain(
      "open",
      path,
      () => Deno.open(`${path}/${METRICS}`, { create: true, write: true, append: true }),
    );
    const events = reportTo === "none" ? null : await openEvents(path);
    return new RunDirectory(path, files, lock, metricsFile, events);
  }

  async keepMetrics(step: number, isEvaluated: (step: number) => boolean): Promise<void> {
    const text = await this.files.readText(METRICS);
    const lines: MetricsLine[] = text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
    const kept = lines.filter((line) =>
      line.step <= step && (!isEvaluation(line) || line.step === 0 || isEvaluated(line.step))
    );
    await this.#metricsFile.truncate(0);
    for (const line of kept) this.log(line);
    if (!(await this.files.list()).includes(SAMPLES)) return;
    const samples: StepSample[] = (await this.files.readText(SAMPLES)).split("\n").filter(Boolean)
      .map((line) => JSON.parse(line));
    await explain("write", this.path, () => Deno.remove(`${this.path}/${SAMPLES}`));
    this.logSamples(
      samples.filter((line) => line.step <= step && (line.step === 0 || isEvaluated(line.step))),
    );
  }

  logSamples(lines: readonly StepSample[]): void {
    if (lines.length === 0) return;
    this.samples.push(...lines);
    const path = `${this.path}/${SAMPLES}`;
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
    try {
      Deno.writeTextFileSync(path, text, { append: true });
    } catch (error) {
      throw explained("write", path, error);
    }
    if (!this.#events) return;
    for (const shown of Map.groupBy(lines, ({ step, set }) => `${step} ${set}`).values()) {
      const [{ step, set }] = shown;
      const tag = set === undefined ? "samples" : `samples/${set}`;
      const rows = [
        ["prompt", "reference", "policy"],
        ...shown.map(({ prompt, reference, policy }) => [prompt, reference, policy]),
      ];
      this.#write(this.#events, EVENT_FILE, textsRecord(Date.now() / 1000, step, tag, rows));
    }
  }

  log(line: MetricsLine): void {
    this.metrics.push(line);
    const text = new TextEncoder().encode(`${JSON.stringify(line)}\n`);
    this.#write(this.#metricsFile, METRICS, text);
    if (!this.#events) return;
    const { step, ...scalars } = line;
    this.#write(this.#events, EVENT_FILE, scalarsRecord(Date.now() / 1000, step, scalars));
  }

  #write(file: Deno.FsFile, name: string, bytes: Uint8Array): void {
    try {
      for (let rest = bytes; rest.length > 0;) rest = rest.subarray(file.writeSync(rest));
    } catch (error) {
      throw explained("write", `${this.path}/${name}`, error);
    }
  }

  checkpoints(): Promise<CheckpointStorage> {
    return openCheckpointStorage(`${this.path}/checkpoints`);
  }

  async close(): Promise<void> {
    await this.#metricsFile.sync();
    this.#metricsFile.close();
    this.#events?.close();
    this.lock.close();
    await Deno.remove(`${this.path}/${LOCK}`);
  }
}

/** A new event file: what a resumed run keeps of its metrics is written to it again. */
async function openEvents(path: string): Promise<Deno.FsFile> {
  const options = { create: true, write: true, truncate: true };
  const file = await explain(
    "open",
    path,
    () => Deno.open(`${path}/${EVENT_FILE}.smoldpo`, options),
  );
  file.writeSync(versionRecord(Date.now() / 1000));
  return file;
}
