// This module is browser compatible.
import type { Options, Origin } from "../config/resolve.ts";
import { auditInWords } from "../data/audit.ts";
import { filterInWords } from "../data/filter_report.ts";
import { needsReference } from "../losses/losses.ts";
import { unusualOptions } from "./steering.ts";
import { type MemoryPlan, planInWords, totalInWords } from "../train/memory_plan.ts";
import type { DataRecord } from "./run_record.ts";
import {
  countsInWords,
  type DeviceFacts,
  deviceShortly,
  featuresInWords,
  objectiveInWords,
  shapeInWords,
  type Unit,
  unitOfLoss,
  unusedInWords,
} from "./words.ts";

/** A line for people; details are for those who ask. */
export interface Line {
  text: string;
  detail: boolean;
}

/** Everything that is known of a training before its first step. */
export type RunPlan = DpoPlan | SftPlan;

interface CommonPlan<C extends "train" | "sft"> {
  command: C;
  options: Options<C>;
  origins: Readonly<Record<string, Origin>>;
  device: DeviceFacts;
  parameters: { total: number; trained: number };
  data: TrainingData;
  heldOut: { data: DataRecord; strong: number | null }[];
  memory: MemoryPlan;
  totalSteps: number;
  rowsPerStep: number;
  output: string;
}

type SftPlan = CommonPlan<"sft">;

interface DpoPlan extends CommonPlan<"train"> {
  layers: { all: number; frozen: number };
  head: string;
  /** Which evaluation is the best, in words; null where none is chosen. */
  best: string | null;
}

/** The rows that a training learns from. */
export interface TrainingData {
  record: DataRecord;
  /** Of all rows, what pairs share counted once, and without sharing; null of a stream, which is not known in advance. */
  tokens: { together: number; apart: number } | null;
  /** Size of a stream's shuffle buffer, in rows; null of a dataset in memory. */
  bufferRows: number | null;
}

/** What a training says of itself before it begins. */
export function headerOf(plan: RunPlan): Line[] {
  const { device, data, memory, totalSteps, rowsPerStep, output, options } = plan;
  const say = (text: string): Line => ({ text, detail: false });
  const detail = (text: string): Line => ({ text, detail: true });
  return [
    say(`device     ${deviceShortly(device)}`),
    detail(`engine     ${device.info.engine}, ${featuresInWords(device.features)}`),
    ...plan.command === "train"
      ? [
        say(
          `model      ${options.model}, ${trainedShortly(plan)}; reference ${
            referenceInWords(plan.options)
          }`,
        ),
        detail(`trained    ${trainedInWords(plan)}`),
      ]
      : [
        say(
          `model      ${options.model}: ${plan.parameters.total} weights, ${plan.parameters.trained} trained`,
        ),
      ],
    ...(plan.command === "train" ? pairLines(plan) : textLines(plan)).map(say),
    // What a tool's rows are taken for is no detail.
    { text: `format     ${shapeInWords(data.record)}`, detail: !data.record.translated },
    detail(`encoding   ${data.record.encoding}`),
    ...plan.command === "train" && data.tokens
      ? [
        detail(
          `tokens     ${data.tokens.together}, counting what chosen and rejected share once; ${data.tokens.apart} without that`,
        ),
      ]
      : [],
    ...(plan.command === "train" ? heldOutPairs(plan) : heldOutText(plan)).map(say),
    ...unusualOptions({
      ...options,
      beta: plan.command === "train" ? plan.options.beta : undefined,
    })
      .map((text) => say(`unusual    ${text}`)),
    say(`memory     ${data.bufferRows === null ? "" : "at most "}${totalInWords(memory)}`),
    detail(`memory     ${planInWords(memory)}`),
    say(`steps      ${totalSteps}, ${rowsOfStep(data, rowsPerStep)} ${unitOf(plan)} each`),
    say(`output     ${output}`),
  ];
}

/** A step never takes a row of an epoch twice, so of few rows it takes all. */
function rowsOfStep({ record, bufferRows }: TrainingData, rowsPerStep: number): number {
  return bufferRows === null ? Math.min(rowsPerStep, record.counts.kept) : rowsPerStep;
}

/** What the rows of a training are called. */
export function unitOf({ command, options }: Pick<RunPlan, "command" | "options">): Unit {
  if (command === "sft") return "rows";
  return unitOfLoss(options as Options<"train">);
}

function pairLines(plan: DpoPlan): string[] {
  const { options, data: { record, bufferRows } } = plan;
  if (bufferRows !== null) return [streamLine(record, bufferRows)];
  const findings = record.audit ? auditInWords(record.audit) : "";
  const { pairsTakenApart, kept } = record.counts;
  const [pairs, unit] = pairsTakenApart ? [pairsTakenApart, "pairs"] : [kept, unitOf(plan)];
  return [
    `data       ${options.dataset}: ${countsInWords(record.counts, unitOf(plan))}${
      unusedInWords(record)
    }`,
    ...pairs === options.maxPairs
      ? [
        `           the first ${pairs} ${unit}, as --max-pairs asks; later rows are not read`,
      ]
      : [],
    ...record.filter ? [`filter     ${filterInWords(record.filter)}`] : [],
    ...findings === "" ? [] : [`audit      ${record.path}: ${findings}`],
    ...balanceOf(options, record).map((text) => `unusual    ${text}`),
  ];
}

/** What all good answers are to weigh over what all bad ones do, by KTO's authors (arXiv:2402.01306, section 4.2) and TRL. */
const BALANCE = [1, 4 / 3] as const;

/** What to do where good or bad answers outweigh the others. */
function balanceOf(
  { lossType, desirableWeight, undesirableWeight }: Options<"train">,
  { audit }: DataRecord,
): string[] {
  if (audit?.good === undefined || audit.good === 0 || audit.good === audit.pairs) return [];
  const good = desirableWeight * audit.good;
  const bad = undesirableWeight * (audit.pairs - audit.good);
  const ratio = good / bad;
  if (ratio >= BALANCE[0] && ratio <= BALANCE[1]) return [];
  const [least, most] = BALANCE.map((balance) =>
    Number((balance / ratio * desirableWeight).toPrecision(3))
  );
  return [
    `all good answers weigh ${
      Number(ratio.toPrecision(3))
    } times as much as all bad ones: for ${lossType} 1 to 1.33 is usual, ` +
    `as with --desirable-weight ${least} to ${most}`,
  ];
}

function textLines({ options, data: { record, tokens, bufferRows } }: SftPlan): string[] {
  if (bufferRows !== null) return [streamLine(record, bufferRows)];
  const counts = countsInWords(record.counts, "rows");
  return [
    `data       ${options.dataset}: ${counts}, ${tokens!.together} tokens${unusedInWords(record)}`,
  ];
}

function streamLine(record: DataRecord, bufferRows: number): string {
  return `data       ${record.path}: streamed through ${bufferRows} rows, counted at the end, not audited${
    unusedInWords(record)
  }`;
}

function heldOutPairs(plan: DpoPlan): string[] {
  const { options, origins, heldOut } = plan;
  const lines: string[] = [];
  if (origins.filter.source === "automatic") {
    lines.push(`filter     ${options.filter}: ${origins.filter.detail}`);
  }
  for (const { data, strong } of heldOut) {
    const { counts, filter, audit } = data;
    lines.push(`held out   ${setInWords(data)}: ${countsInWords(counts, unitOf(plan))}`);
    if (filter) {
      const how = strong === null ? "" : `${strong} measured by themselves too; `;
      lines.push(`filter     ${setInWords(data)}: ${how}${filterInWords(filter)}`);
    }
    const findings = auditInWords(audit!);
    if (findings !== "") lines.push(`audit      ${setInWords(data)}: ${findings}`);
  }
  lines.push(`loss       ${objectiveInWords(options, origins)}`);
  if (plan.best !== null) lines.push(`best       ${plan.best}`);
  return lines;
}

function heldOutText({ heldOut }: SftPlan): string[] {
  return heldOut.map(({ data }) =>
    `held out   ${setInWords(data)}: ${countsInWords(data.counts, "rows")}`
  );
}

/** A held-out set, with its name if it has one. */
function setInWords({ set, path }: DataRecord): string {
  return set === undefined ? path : `${set} (${path})`;
}

function trainedInWords({ parameters: { total, trained }, layers, head }: DpoPlan): string {
  return `${trained} of ${total} weights (${(100 * trained / total).toFixed(1)} %); ` +
    `frozen layers: ${layers.frozen} of ${layers.all}; output head: ${head}`;
}

function referenceInWords(options: Options<"train">): string {
  if (!needsReference(options)) return `none, ${options.lossType} does without`;
  const { syncRefModel, refModelMixupAlpha, refModelSyncSteps, reference } = options;
  const begin = reference ?? "the model before training";
  if (!syncRefModel) return begin;
  const other = Number((1 - refModelMixupAlpha).toPrecision(12));
  return `${begin}, mixed every ${refModelSyncSteps} steps: ${refModelMixupAlpha} of the model, ${other} of the reference`;
}

function trainedShortly({ parameters: { total, trained } }: DpoPlan): string {
  const count = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
  const share = trained === total ? "all" : `${(100 * trained / total).toFixed(1)} %`;
  return `${count.format(total)} weights, ${share} trained`;
}
