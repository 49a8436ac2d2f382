// This module is browser compatible.
/** What people read of a dataset, a device, a loss: the words of command lines, job events and run records. */
import type { Options, Origin } from "../config/resolve.ts";
import type { DataCounts } from "../data/prepared.ts";
import type { PairCounts } from "../data/pairs.ts";
import type { DeviceInfo } from "../gpu/device.ts";
import type { Operand } from "../kernels/shapes.ts";
import { answersOf, type ChosenLosses, lossInWords } from "../losses/losses.ts";
import type { DataRecord } from "./run_record.ts";

/** A device as people need to know it. */
export interface DeviceFacts {
  info: DeviceInfo;
  features: Readonly<Record<string, boolean>>;
  precision: Operand;
  precisionReason: string;
}

/** @returns What is to be said of an open device, as plain data. */
export function factsOf({ gpu, precision, precisionReason }: {
  gpu: { info: DeviceInfo; features: Readonly<Record<string, boolean>> };
  precision: Operand;
  precisionReason: string;
}): DeviceFacts {
  const { info, features } = gpu;
  return { info: { ...info }, features: { ...features }, precision, precisionReason };
}

/** A device for headers: what it is, what it offers, and the precision with the reason. */
export function deviceInWords({ info, features, ...chosen }: DeviceFacts): string {
  return `${info.description} (engine ${info.engine}; ${
    featuresInWords(features)
  }), ${chosen.precision}: ${chosen.precisionReason}`;
}

/** A device for people who only want to know where their training runs. */
export function deviceShortly({ info, precision, precisionReason }: DeviceFacts): string {
  return `${info.description}${
    info.software ? ", a CPU" : ""
  }; ${precision}, as ${precisionReason}`;
}

/** The optional features that a device has. */
export function featuresInWords(features: DeviceFacts["features"]): string {
  const names = Object.entries(features).filter(([, has]) => has).map(([name]) => name);
  return names.length > 0 ? `with ${names.join(", ")}` : "without optional features";
}

/** The columns that go unused, to follow something else in a line. */
export function unusedInWords({ unusedColumns }: DataRecord): string {
  return unusedColumns.length > 0 ? `; not used: ${unusedColumns.join(", ")}` : "";
}

/** The shape of a dataset's rows, in words, and its files where its name does not tell them. */
export function shapeInWords({ format, files, path }: DataRecord): string {
  return [
    format,
    ...files.length > 1 || !files[0].endsWith(path) ? [`from ${filesInWords(files)}`] : [],
  ].join("; ");
}

function filesInWords(files: readonly string[]): string {
  const [first, second, ...others] = files;
  if (others.length > 1) return `${files.length} files, ${first} to ${files.at(-1)}`;
  return [first, second, ...others].filter(Boolean).join(", ");
}

/** The loss, and why its scores are what they are where the user did not say. */
export function objectiveInWords(
  { beta, logprob, score, ...loss }: Pick<
    Options<"eval">,
    "lossType" | "lossWeights" | "fDivergenceType" | "beta" | "logprob" | "score"
  >,
  { logprob: origin }: Readonly<Record<string, Origin>>,
): string {
  const because = origin.source === "automatic" ? ` (${origin.detail})` : "";
  const { fDivergenceType: type } = loss;
  const divergence = type === "reverse_kl" ? "" : ` of ${type}`;
  return `${
    lossInWords(loss)
  }${divergence}, beta ${beta}, ${logprob} over ${score} tokens${because}`;
}

/** What rows are made into. */
export type Unit = "pairs" | "answers" | "rows";

/** @param unit What stays or goes as a whole. */
function countWords(unit: Unit): Record<
  Exclude<keyof (DataCounts & PairCounts), "rows" | "examples" | "kept">,
  string
> {
  return {
    filtered: "rejected by the filter",
    droppedPromptTooLong: "dropped (prompt fills the length)",
    droppedTooLong: "dropped (too long)",
    droppedEmptyCompletion: "dropped (empty completion)",
    droppedWithoutPreference: "rows dropped (no answer is preferred)",
    truncatedRows: `${unit} cut`,
    truncatedTokens: "tokens cut",
    boundaryMerged: `${unit} split at the common token prefix`,
    identicalPairs: "identical pairs",
    severalAnswers: "rows with more than two answers",
    withMargin: "rows with a margin",
    withWeight: "rows with a weight",
    ties: "answers as good as the one beside them, not paired",
    repeatedPrompts: "rows with the prompt in the answers again, left out there",
    echoedPrompts: "rows whose answers begin with the prompt",
    otherSpeakers: "rows with answers not by the assistant",
    turnsLeftOut: "rows with turns behind the last answer, left out",
    lostInTemplate: `${unit} of which the chat template leaves something out`,
    openingDropped:
      `${unit} whose answers follow other text in training than when the model is asked`,
    pairsTakenApart: "pairs taken apart",
  };
}

/** What a loss is of. */
export function unitOfLoss(objective: ChosenLosses): Unit {
  return answersOf(objective) ? "answers" : "pairs";
}

/** What was kept, cut and dropped, in words; only what happened. What is said without a unit is of the first number's. */
export function countsInWords(
  { rows, examples, kept, ...others }: DataRecord["counts"],
  unit: Unit = "pairs",
): string {
  const words = countWords(others.pairsTakenApart ? "pairs" : unit);
  const happened = Object.entries(others).filter(([, count]) => count > 0)
    .map(([name, count]) => `${count} ${words[name as keyof typeof words]}`);
  // Where no row makes several, pairs are counted by rows.
  const isSeveral = examples > rows - others.droppedWithoutPreference;
  const all = isSeveral ? `${examples} ${unit} of ${rows} rows` : `${rows} ${unit}`;
  return [`${kept} of ${all}`, ...happened].join(", ");
}
