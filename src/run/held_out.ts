// This module is browser compatible.
import type { Options } from "../config/resolve.ts";
import { parsePreference } from "../data/answer_rows.ts";
import type { PairFilter } from "../data/filter.ts";
import type { DataOptions } from "../data/prepare.ts";
import type { PreferencePair } from "../data/pairs.ts";
import { readRows } from "../data/rows.ts";
import { blankMeasures, largestBatch } from "../dpo/evaluate.ts";
import { scoreOptionsOf } from "../dpo/pack.ts";
import { needsReference } from "../losses/losses.ts";
import type { DpoTraining } from "../train/training.ts";
import { generate } from "../generate/generate.ts";
import { GREEDY } from "../kernels/sample.ts";
import type { Model } from "../model/model.ts";
import type { TextTokenizer } from "../text/tokenizer.ts";
import {
  countGrades,
  gradeCompletion,
  type GradeCounts,
  type Grading,
  parseGrading,
} from "./grading.ts";
import type { Sample } from "../report/run_record.ts";
import type { Caches } from "./caches.ts";
import { blankDrawn, measureDrawn, rehearseDrawn } from "./drawn_answers.ts";
import { type LoadedPairs, loadPairsFrom, metricsOfSet, type NamedDataset } from "./inputs.ts";
import type { Ports, StoredModel } from "./ports.ts";
import type { TrainingRows } from "./training_run.ts";

/** Rule and right answers by which completions of held-out prompts are judged; see src/run/grading.ts. */
interface Judge {
  grading: Grading;
  /** The right answer of each pair. */
  answers: string[];
}

/** What held-out pairs say about a model. */
export interface Examination {
  /** Evaluation metrics and, where answers can be judged, their shares; names start with `eval_`. */
  metrics: Record<string, number>;
  completions: string[];
  grades: GradeCounts | null;
}

/** What is measured of a set, by what it is measured of. */
export interface Measured {
  pairs: Readonly<Record<string, number>>;
  /** Of the strong pairs alone. */
  strong: Readonly<Record<string, number>>;
  /** Of answers that the model draws; without `eval_`. */
  drawn: Readonly<Record<string, number>>;
  grades: GradeCounts | null;
}

const GRADING = "grading.json";
/** Prompts that are shown with both models' answers. */
export const SAMPLES = 3;
const MAX_NEW_TOKENS = 48;
/** Prompts answered at an examination; more would take longer than training a small model. */
const MAX_PROMPTS = 100;

/**
 * Held-out pairs: evaluated before and after training, and their prompts answered. Where a training takes strong pairs
 * alone, the strong ones among these are evaluated by themselves too: on such pairs length alone may tell the answers apart.
 */
export class HeldOut {
  /** Pairs whose prompts are answered, each prompt once. */
  readonly asked: PreferencePair[];

  private constructor(
    readonly pairs: PreferencePair[],
    readonly record: LoadedPairs["record"],
    readonly tokenizer: TextTokenizer | null,
    readonly stopIds: number[],
    readonly judge: Judge | null,
    /** Those that the training's filter would keep; null where there is none, or it keeps all or none. */
    readonly strong: PreferencePair[] | null,
    /** The name of this set, where there are several. */
    readonly set: string | undefined,
    maxLengthTokens: number,
  ) {
    const room = ({ chosen }: PreferencePair) =>
      chosen.promptLength + MAX_NEW_TOKENS <= maxLengthTokens;
    this.asked = ofDifferentPrompts(pairs.filter(room), MAX_PROMPTS);
  }

  /**
   * Opens held-out pairs, with the `grading.json` beside them if there is one.
   *
   * @param training The pairs that they must not be among; what is streamed is not known yet.
   * @param filter A new one like that of the training's pairs, if those are filtered.
   * @throws {UserError} If rows or grading are malformed.
   */
  static async open(
    named: NamedDataset,
    model: StoredModel,
    options: DataOptions,
    caches: Caches,
    training: Pick<TrainingRows<PreferencePair>, "rows" | "stream">,
    filter: PairFilter | undefined,
  ): Promise<HeldOut> {
    const { pairs, record } = await loadPairsFrom(
      named,
      model,
      options,
      caches,
      training.stream ? undefined : training.rows,
    );
    const { tokenizer, stopIds } = model;
    const judge = await openJudge(named, pairs, caches.ports);
    const strong = filter ? await strongPairs(named, pairs, options, filter, caches.ports) : null;
    return new HeldOut(
      pairs,
      { ...record, filter: filter?.report() },
      tokenizer,
      stopIds,
      judge,
      strong,
      named.set,
      options.maxLengthTokens,
    );
  }

  /**
   * Evaluates the policy and lets it answer the prompts.
   *
   * @param isReference Whether it still is the reference, as before the first step.
   */
  async examine(training: DpoTraining, isReference = false): Promise<Examination> {
    const pairs = await training.evaluate(this.pairs, isReference);
    const strong = this.strong ? await training.evaluate(this.strong, isReference) : {};
    const { reference } = training.run;
    const drawn = await measureDrawn(
      training.model,
      reference && (isReference ? training.model : reference.model),
      this.#prompts(),
      this.#drawing,
    );
    const completions = await this.answer(training.model, this.judge ? MAX_PROMPTS : SAMPLES);
    const grades = this.grade(completions);
    return { metrics: this.#metrics({ pairs, strong, drawn, grades }), completions, grades };
  }

  /** The names of all that examinations measure, as far as there is something to measure. */
  measures(options: Options<"train">): string[] {
    const evaluating = { ...scoreOptionsOf(options), objective: options };
    return Object.keys(this.#metrics({
      pairs: blankMeasures(this.pairs, evaluating),
      strong: this.strong ? blankMeasures(this.strong, evaluating) : {},
      drawn: blankDrawn(this.asked.length, needsReference(options)),
      grades: this.grade(this.tokenizer ? this.asked.map(() => "") : []),
    }));
  }

  #metrics(measured: Measured): Record<string, number> {
    return namedMeasures(this.set, measured, this.judge?.grading);
  }

  /**
   * Does what takes memory at examinations before and after training, on a device that only counts. Answers have no stop ids
   * there: it draws token 0 alone, which may be one.
   */
  async rehearse(counted: DpoTraining, referenceAnswers: boolean): Promise<void> {
    for (const pairs of [this.pairs, this.strong ?? []]) {
      await counted.evaluate(largestBatch(counted.model, pairs));
    }
    await this.answer(counted.model, this.judge ? MAX_PROMPTS : SAMPLES, []);
    const { reference } = counted.run;
    const judge = reference && reference.model;
    await rehearseDrawn(counted.model, judge, this.#prompts(), this.#drawing);
    if (judge && referenceAnswers) await this.answer(judge, SAMPLES, []);
  }

  /** Greedy completions of the first prompts that leave room for one, as text; none without a tokenizer. */
  async answer(model: Model, count: number, stopIds = this.stopIds): Promise<string[]> {
    const { tokenizer } = this;
    if (!tokenizer) return [];
    const completions = await generate(model, this.#prompts().slice(0, count), {
      ...GREEDY,
      maxNewTokens: MAX_NEW_TOKENS,
      stopIds,
    });
    return completions.map(({ ids }) =>
      tokenizer.decode(ids.filter((id) => !stopIds.includes(id)))
    );
  }

  get #drawing() {
    return { maxNewTokens: MAX_NEW_TOKENS, stopIds: this.stopIds };
  }

  #prompts(): number[][] {
    return this.asked.map(({ chosen }) => Array.from(chosen.ids.subarray(0, chosen.promptLength)));
  }

  /** The first prompts with both answers. */
  samples(reference: string[], policy: string[]): Sample[] {
    return policy.slice(0, SAMPLES).map((completion, i) => {
      const { ids, promptLength } = this.asked[i].chosen;
      const prompt = this.tokenizer!.decode(ids.subarray(0, promptLength));
      const set = this.set === undefined ? {} : { set: this.set };
      return { ...set, prompt, reference: reference[i], policy: completion };
    });
  }

  private grade(completions: string[]): GradeCounts | null {
    if (!this.judge || completions.length === 0) return null;
    const { grading, answers } = this.judge;
    return countGrades(
      completions.map((completion, i) =>
        gradeCompletion(grading, completion, answers[this.pairs.indexOf(this.asked[i])])
      ),
    );
  }
}

/** What is measured of a set, under the names of metrics. @param grading There where there are grades. */
export function namedMeasures(
  set: string | undefined,
  { pairs, strong, drawn, grades }: Measured,
  grading?: Grading,
): Record<string, number> {
  const metrics = { ...pairs };
  for (const [name, value] of Object.entries(strong)) {
    // As TRL names the measures of a second evaluation dataset.
    metrics[name.replace(/^eval_/, "eval_filtered_")] = value;
  }
  for (const [name, value] of Object.entries(drawn)) metrics[`eval_${name}`] = value;
  if (grades) {
    metrics[`eval_answers/${grading!.preferred.name}`] = grades.preferred / grades.total;
    metrics["eval_answers/correct"] = grades.correct / grades.total;
  }
  return metricsOfSet(set, metrics);
}

/** The first pair of each prompt, up to a number of them: several pairs of a row share one, and so do answers of a pair. */
function ofDifferentPrompts(pairs: readonly PreferencePair[], most: number): PreferencePair[] {
  const byPrompt = new Map<string, PreferencePair>();
  for (const pair of pairs) {
    if (byPrompt.size === most) break;
    const { ids, promptLength } = pair.chosen;
    const prompt = ids.subarray(0, promptLength).join();
    if (!byPrompt.has(prompt)) byPrompt.set(prompt, pair);
  }
  return [...byPrompt.values()];
}

async function strongPairs(
  named: NamedDataset,
  pairs: readonly PreferencePair[],
  options: DataOptions,
  filter: PairFilter,
  ports: Ports,
): Promise<PreferencePair[] | null> {
  const isStrong: boolean[] = [];
  for await (const row of readRows(await ports.openDataset(named.path, named))) {
    const { example, others = [] } = parsePreference(row, options);
    const examples = example === null ? [] : [example, ...others];
    if (example?.completions.length === 1) return null; // a single answer is neither strong nor weak
    // Of a row with several pairs all must be strong, and each is counted.
    const failed = examples.map((one) => filter.judge(one, row.where).length);
    isStrong.push(failed.length > 0 && failed.every((rules) => rules === 0));
  }
  const strong = pairs.filter(({ index }) => isStrong[index]);
  return strong.length === 0 || strong.length === pairs.length ? null : strong;
}

async function openJudge(
  named: NamedDataset,
  pairs: readonly PreferencePair[],
  ports: Ports,
): Promise<Judge | null> {
  const dataset = await ports.openDataset(named.path, named);
  const { directory } = dataset[0].files[0];
  if (!await directory.has(GRADING)) return null;
  const grading = parseGrading(
    JSON.parse(await directory.readText(GRADING)),
    `${directory.name}/${GRADING}`,
  );
  const byRow: unknown[] = [];
  for await (const { value } of readRows(dataset)) byRow.push(value[grading.answerField]);
  const answers = pairs.map(({ index }) => byRow[index]);
  return answers.every((answer) => typeof answer === "string") ? { grading, answers } : null;
}
