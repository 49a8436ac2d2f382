/** The pairs that `train` learns from: all in memory, or read as training goes on. */
import type { Options } from "../config.ts";
import { auditInWords } from "../data/audit.ts";
import { parsePair } from "../data/examples.ts";
import type { PairFilter } from "../data/filter.ts";
import { filterInWords } from "../data/filter_report.ts";
import type { PreferencePair } from "../data/pairs.ts";
import type { DataOptions } from "../data/prepare.ts";
import { treeTokens } from "../dpo/pack.ts";
import { plannedRows } from "../train/step_rows.ts";
import type { Context } from "./context.ts";
import {
  countsInWords,
  loadPairsFrom,
  mainDataset,
  shapeInWords,
  type StoredModel,
  unusedInWords,
} from "./inputs.ts";
import type { Shortcuts } from "./shortcuts.ts";
import { streamRows } from "./streamed_rows.ts";
import { largestOf, planOf, type TrainingRows } from "./training_run.ts";

/** @throws {UserError} If the dataset cannot be read or used. */
export async function openTrainingPairs(
  options: Options<"train">,
  model: StoredModel,
  data: DataOptions,
  shortcuts: Shortcuts,
  context: Context<"train">,
): Promise<TrainingRows<PreferencePair>> {
  const filter = await strongFilter(options, context);
  return options.streaming
    ? await streamRows(
      options,
      model.tokenizer,
      { ...data, filter },
      (row) => parsePair(row, data),
      ([chosen, rejected], index): PreferencePair => ({ index, chosen, rejected }),
      2,
    )
    : await loadTrainingPairs(options, model, {
      ...data,
      filter,
      maxRows: options.maxPairs === 0 ? undefined : options.maxPairs,
    }, shortcuts);
}

async function loadTrainingPairs(
  options: Options<"train">,
  model: StoredModel,
  data: DataOptions,
  shortcuts: Shortcuts,
): Promise<TrainingRows<PreferencePair>> {
  const named = mainDataset(options, "train");
  const { pairs, counts, record } = await loadPairsFrom(named, model, data, shortcuts);
  const units = pairs.map(treeTokens);
  const tokens = units.reduce((sum, count) => sum + count, 0);
  const apart = pairs.reduce((sum, p) => sum + p.chosen.ids.length + p.rejected.ids.length, 0);
  const findings = auditInWords(record.audit);
  const plan = planOf(pairs.length, options);
  const largest = largestOf(plan, units, options);
  return {
    rows: pairs,
    plan,
    order: plannedRows(plan, options),
    largest: { rows: largest.map((row) => pairs[row]), tokens: largest.map((row) => units[row]) },
    record: () => record,
    header: () => ({
      lines: [
        `data       ${options.dataset}: ${countsInWords(counts)}${unusedInWords(record)}`,
        ...pairs.length === options.maxPairs
          ? [
            `           the first ${options.maxPairs}, as --max-pairs asks; later rows are not read`,
          ]
          : [],
        ...record.filter ? [`filter     ${filterInWords(record.filter)}`] : [],
        ...findings === "" ? [] : [`audit      ${record.path}: ${findings}`],
      ],
      details: [
        `format     ${shapeInWords(record)}`,
        `encoding   ${record.encoding}`,
        `tokens     ${tokens}, counting what chosen and rejected share once; ${apart} without that`,
      ],
    }),
  };
}

/** The filter that the options ask for. One that only the preset asks for lets rows pass that have no text. */
export async function strongFilter(
  options: Options<"train">,
  { resolved }: Context<"train">,
): Promise<PairFilter | undefined> {
  if (options.filter === "none") return undefined;
  // Loaded on demand: its tagger brings a lexicon.
  const { PairFilter } = await import("../data/filter.ts");
  const tokens = resolved.origins.filter.source === "preset" ? "keep" : "refuse";
  return new PairFilter(options, { tokens });
}
