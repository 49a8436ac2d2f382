// This module is browser compatible.
import type { DataOptions } from "../data/prepare.ts";
import type { PreferencePair } from "../data/pairs.ts";
import type { MetricsLine, Sample, StepSample } from "../report/run_record.ts";
import type { DpoTraining } from "../train/training.ts";
import type { Options, Resolved } from "../config/resolve.ts";
import type { Caches } from "./caches.ts";
import { type Examination, HeldOut, SAMPLES } from "./held_out.ts";
import { heldOutDatasets } from "./inputs.ts";
import type { StoredModel } from "./ports.ts";
import { strongFilter } from "./training_pairs.ts";
import type { TrainingRows } from "./training_run.ts";

/** The held-out sets of a training, in their order; perhaps none. What is found is listed by set. */
export class HeldOutSets {
  /** How the reference, or the model before the first step, answers the prompts that are shown; null if nobody knows. */
  #theirs: string[][] | null = null;

  private constructor(readonly sets: readonly HeldOut[]) {}

  /** Opens all sets that the options name; see {@link HeldOut.open}. */
  static async open(
    resolved: Resolved<"train">,
    model: StoredModel,
    data: DataOptions,
    caches: Caches,
    training: Pick<TrainingRows<PreferencePair>, "rows" | "stream">,
  ): Promise<HeldOutSets> {
    const sets: HeldOut[] = [];
    for (const named of heldOutDatasets(resolved.options)) {
      const filter = await strongFilter(resolved);
      sets.push(await HeldOut.open(named, model, data, caches, training, filter));
    }
    return new HeldOutSets(sets);
  }

  get isEmpty(): boolean {
    return this.sets.length === 0;
  }

  /** The names of all that examinations measure. */
  measures(options: Options<"train">): string[] {
    return this.sets.flatMap((set) => set.measures(options));
  }

  /** Does what takes memory at an examination, on a device that only counts. */
  async rehearse(
    counted: DpoTraining,
    { reference, syncRefModel }: Options<"train">,
  ): Promise<void> {
    // Otherwise it answers as the model before the first step.
    const referenceAnswers = reference !== null || syncRefModel;
    for (const set of this.sets) await set.rehearse(counted, referenceAnswers);
  }

  /** @param isReference Whether the policy still is the reference. */
  async examine(training: DpoTraining, isReference?: boolean): Promise<Examination[]> {
    const found: Examination[] = [];
    for (const set of this.sets) found.push(await set.examine(training, isReference));
    return found;
  }

  /**
   * Learns how the reference answers.
   *
   * @param before What was found before the first step, where the model still was the reference.
   * @param known Samples of the first evaluation of a run that goes on.
   */
  async learnReference(
    { run: { reference } }: DpoTraining,
    before: readonly Examination[] | null,
    known: readonly StepSample[],
  ): Promise<void> {
    if (before) this.#theirs = before.map(({ completions }) => completions);
    else if (known.length > 0) {
      this.#theirs = this.sets.map(({ set }) =>
        known.filter((sample) => sample.set === set).map((sample) => sample.reference)
      );
    } else if (reference) {
      this.#theirs = [];
      for (const set of this.sets) this.#theirs.push(await set.answer(reference.model, SAMPLES));
    }
  }

  /** The first prompts of each set with both answers. */
  samples(found: readonly Examination[]): Sample[] {
    const theirs = this.#theirs;
    if (theirs === null) return [];
    return this.sets.flatMap((set, i) => set.samples(theirs[i], found[i].completions));
  }
}

/** What all sets measured, as a line of metrics. */
export function metricsLine(step: number, found: readonly Examination[]): MetricsLine {
  return Object.assign({ step }, ...found.map(({ metrics }) => metrics));
}
