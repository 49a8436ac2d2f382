// This module is browser compatible.
/**
 * From what the user gave to the configuration of a run: defaults, then the preset, then the configuration file, then
 * flags; and last what follows from the rest, with its reason. Every value remembers where it came from.
 *
 * @module
 */
import { UserError } from "../errors.ts";
import type { Command } from "./kinds.ts";
import { LOSS_OPTIONS, type LossOption } from "../losses/loss.ts";
import {
  type ChosenLosses,
  isOfMargin,
  LOSS_TYPES,
  needsReference,
  readersOf,
  type Term,
  termsOf,
} from "../losses/losses.ts";
import { FILTER_RULES, type OptionName, type Options, type OptionValue } from "./options.ts";
import { PRESETS } from "./presets.ts";
import { trlKey } from "./trl_keys.ts";
import {
  findOption,
  kebabCase,
  optionCalled,
  optionNames,
  parseValue,
  snakeCase,
  specOf,
} from "./values.ts";

export { type Command, COMMANDS } from "./kinds.ts";
export type { OptionName, Options, OptionValue } from "./options.ts";

/** Where a value came from. */
export interface Origin {
  source: "default" | "preset" | "file" | "flag" | "automatic";
  /** The preset, the file, or the reason of an automatic choice. */
  detail?: string;
}

/** A command's options, each with its origin. */
export interface Resolved<C extends Command = Command> {
  command: C;
  options: Options<C>;
  origins: Readonly<Record<string, Origin>>;
  /** Keys of the configuration file that change nothing here; see src/config/trl_keys.ts. */
  withoutEffect?: readonly string[];
}

/** What a user gave: option names as written, and strings or values out of JSON. */
export interface Given {
  flags?: Iterable<readonly [spelling: string, value: unknown]>;
  file?: { name: string; content: unknown };
}

/**
 * @param command Decides which options there are.
 * @param given Flags and the configuration file.
 * @param now For the name of a new run directory.
 * @throws {UserError} If an option is unknown, does not belong to the command, is given twice, has a wrong value, or
 * contradicts another.
 */
export function resolveOptions<C extends Command>(
  command: C,
  given: Given = {},
  now: Date = new Date(),
): Resolved<C> {
  const names = optionNames(command);
  const flags = readFlags(command, given.flags ?? []);
  const { options: file, withoutEffect } = given.file
    ? readFile(command, given.file)
    : { options: new Map<OptionName, unknown>(), withoutEffect: [] };
  const presetName = (flags.get("preset") ?? file.get("preset") ?? null) as OptionValue<"preset">;
  const preset = presetName === null ? {} : PRESETS[presetName];

  const values: Partial<Record<OptionName, unknown>> = {};
  const origins: Partial<Record<OptionName, Origin>> = {};
  for (const name of names) {
    const spec = specOf(name);
    if (flags.has(name)) {
      values[name] = flags.get(name);
      origins[name] = { source: "flag" };
    } else if (file.has(name)) {
      values[name] = file.get(name);
      origins[name] = { source: "file", detail: given.file!.name };
    } else if (name in preset) {
      values[name] = preset[name];
      origins[name] = { source: "preset", detail: presetName! };
    } else {
      values[name] = spec.defaults?.[command] ?? spec.default;
      origins[name] = { source: "default" };
    }
  }
  for (const [name, { value, because }] of automatic(command, values, origins, now)) {
    values[name] = value;
    origins[name] = { source: "automatic", detail: because };
  }
  refuseContradictions(values, origins);
  // Every name of the command is set and every value went through its own parser or comes from a typed table.
  return {
    command,
    options: values as Options<C>,
    origins: origins as Record<OptionName, Origin>,
    withoutEffect,
  };
}

function readFlags(command: Command, flags: NonNullable<Given["flags"]>): Map<OptionName, unknown> {
  const read = new Map<OptionName, unknown>();
  for (const [spelling, raw] of flags) {
    const label = `--${spelling}`;
    const name = findOption(command, spelling, label);
    if (read.has(name)) throw new UserError(`Expected --${kebabCase(name)} once, found it twice`);
    read.set(name, parseValue(name, raw, label));
  }
  return read;
}

function readFile(
  command: Command,
  { name: fileName, content }: NonNullable<Given["file"]>,
): { options: Map<OptionName, unknown>; withoutEffect: string[] } {
  if (typeof content !== "object" || content === null || Array.isArray(content)) {
    throw new UserError(`Expected ${fileName} to hold options by name, such as "beta": 0.1`);
  }
  const read = new Map<OptionName, unknown>();
  const withoutEffect: string[] = [];
  const unsupported: string[] = [];
  for (const [spelling, raw] of Object.entries(content)) {
    const label = `"${spelling}" in ${fileName}`;
    const isTraining = command === "train" || command === "sweep" || command === "sft";
    const key = snakeCase(spelling);
    const isAsked = isTraining && (key === "report_to" || !optionCalled(spelling));
    const known = isAsked ? trlKey(key, raw) : null;
    if (known?.kind === "without effect") withoutEffect.push(spelling);
    else if (known?.kind === "unsupported") {
      const expected = known.expected.map((value) => JSON.stringify(value)).join(" or ");
      unsupported.push(`${spelling}: ${JSON.stringify(raw)} (only ${expected})`);
    } else {
      const name = findOption(command, known?.kind === "renamed" ? known.to : spelling, label);
      if (name === "config") {
        throw new UserError(`Expected no configuration file within ${fileName}`);
      }
      if (read.has(name)) throw new UserError(`Expected ${label} once, found it in two spellings`);
      read.set(name, parseValue(name, raw, label));
    }
  }
  if (unsupported.length > 0) {
    throw new UserError(
      `Expected settings of ${fileName} that ${command} supports, found ${unsupported.join(", ")}`,
    );
  }
  return { options: read, withoutEffect };
}

type Values = Partial<Record<OptionName, unknown>>;
type Origins = Partial<Record<OptionName, Origin>>;

function givenByUser(origins: Origins, name: OptionName): boolean {
  return ["flag", "file"].includes(origins[name]?.source ?? "");
}

/** Yields what follows from other options, where the user has not said otherwise. */
function* automatic(
  command: Command,
  values: Values,
  origins: Origins,
  now: Date,
): Iterable<[OptionName, { value: unknown; because: string }]> {
  const isDefault = (name: OptionName) => origins[name]?.source === "default";
  const isGiven = (name: OptionName) => givenByUser(origins, name);
  if (command === "train") {
    if (isDefault("model") && isDefault("learningRate")) {
      const because = "the shipped model is small, and small models take larger steps";
      yield ["learningRate", { value: 5e-5, because }];
    }
    if (isDefault("dataset") && origins.filter?.source === "preset") {
      const because = "the shipped pairs are shorter and more alike than the filter's rules allow";
      yield ["filter", { value: "none", because }];
    }
    if (isDefault("dataset") && isDefault("evalDataset")) {
      const because = "held-out pairs of the shipped dataset";
      yield ["evalDataset", { value: "fixtures/pairs/eval.jsonl", because }];
    }
  }
  if ("lossType" in values && !isGiven("logprob") && values.logprob !== "mean") {
    const decisive = decisiveTerms(values);
    if (decisive.length > 0 && decisive.every(({ loss }) => loss.logprob === "mean")) {
      const names = decisive.map(({ type }) => type).join(" and ");
      const because = `TRL's ${names} ${decisive.length > 1 ? "are" : "is"} per token`;
      yield ["logprob", { value: "mean", because }];
    }
  }
  if (values.usePeft && isDefault("loraR")) {
    yield ["loraR", { value: 16, because: "TRL's default with --use-peft" }];
  }
  if (Number(values.loraR) > 0) {
    const because = "adapters train alone";
    if (!isGiven("trainLayers")) yield ["trainLayers", { value: 0, because }];
    if (!isGiven("head")) yield ["head", { value: "frozen", because }];
    if (!isGiven("trainFinalNorm")) yield ["trainFinalNorm", { value: false, because }];
    if (!isGiven("trainEmbeddings")) yield ["trainEmbeddings", { value: false, because }];
  } else if ("trainLayers" in values && values.trainLayers !== "all") {
    const because = "layers above the embedding are frozen";
    if (isDefault("trainEmbeddings")) yield ["trainEmbeddings", { value: false, because }];
    if (isDefault("head")) yield ["head", { value: "frozen", because }];
  }
  if ("resume" in values && values.output === null) {
    const resumed = /^(.+)[/\\]checkpoints[/\\][^/\\]+[/\\]?$/.exec(String(values.resume))?.[1];
    yield ["output", {
      value: resumed ?? `runs/${command}-${timestamp(now)}`,
      because: resumed ? "the run that is resumed" : "a directory of its own for each run",
    }];
  }
}

/** @returns `20261122-090500` for five past nine. */
function timestamp(date: Date): string {
  return date.toISOString().replace(/\..*/, "").replace(/[-:]/g, "").replace("T", "-");
}

type Refuse = (expected: string, found: string) => void;

/** The losses that ask for one kind of score, by the options that were read. */
function decisiveTerms(values: Values): Term[] {
  return chosenTerms(values).filter(({ loss }) => loss.logprob !== "any");
}

const chosenTerms = ({ lossType, lossWeights }: Values) =>
  termsOf({ lossType, lossWeights } as ChosenLosses);

/** Refuses what the chosen losses cannot work with, and options of others; a value that is the default changes nothing. */
function refuseMisfits(values: Values, isLogprobGiven: boolean, refuse: Refuse): void {
  const terms = chosenTerms(values);
  const isChanged = (name: OptionName) => values[name] !== specOf(name).default;
  const weights = values.lossWeights as ChosenLosses["lossWeights"];
  if (weights && weights.length !== terms.length) {
    refuse(`as many --loss-weights as losses, ${terms.length}`, `${weights.length}`);
  }
  if (weights?.every((weight) => weight === 0)) {
    refuse("one of --loss-weights above 0", weights.join(","));
  }
  const objective = values as ChosenLosses;
  if (values.reference !== null && !needsReference(objective)) {
    refuse(`no --reference with --loss-type ${values.lossType}`, `${values.reference}`);
  }
  const alone = terms.find(({ loss }) => loss.absolute);
  if (values.ldAlpha !== null && alone) {
    refuse("--ld-alpha only with losses of gains over a reference", alone.type);
  }
  const divergence = values.fDivergenceType;
  if (divergence !== "reverse_kl") {
    const other = terms.find(({ type }) => !isOfMargin(type) && type !== "sft");
    const known = LOSS_TYPES.filter(isOfMargin).join(", ");
    if (other) refuse(`--f-divergence-type ${divergence} only with ${known} and sft`, other.type);
    if (values.logprob !== "sum") {
      refuse(`--logprob sum with --f-divergence-type ${divergence}`, `${values.logprob}`);
    }
  }
  if (divergence !== "alpha_divergence" && isChanged("fAlphaDivergenceCoef")) {
    refuse(
      "--f-alpha-divergence-coef only with --f-divergence-type alpha_divergence",
      `${divergence}`,
    );
  }
  const decisive = decisiveTerms(values);
  const perToken = decisive.find(({ loss }) => loss.logprob === "mean");
  const ofSums = decisive.find(({ loss }) => loss.logprob !== "mean");
  if (perToken && ofSums && !isLogprobGiven) {
    refuse(
      "losses of the same kind of score, or --logprob",
      `${perToken.type} per token and ${ofSums.type} of sums`,
    );
  }
  for (const option of Object.keys(LOSS_OPTIONS) as LossOption[]) {
    if (option === "beta") continue;
    const needy = terms.find(({ loss }) => loss.positive?.includes(option));
    if (needy && values[option] === 0) {
      refuse(`--${kebabCase(option)} above 0 with --loss-type ${needy.type}`, "0");
    }
    const isRead = terms.some(({ loss }) => loss.reads.includes(option));
    if (!isRead && isChanged(option)) {
      refuse(
        `--${kebabCase(option)} only with --loss-type ${readersOf(option)}`,
        `${values.lossType}`,
      );
    }
  }
}

/** Options that some schedules alone read. */
const SCHEDULE_OPTIONS: [name: OptionName, readers: string[]][] = [
  ["minLrRate", ["cosine_with_min_lr", "warmup_stable_decay"]],
  ["lrPower", ["polynomial"]],
  ["lrDecaySteps", ["warmup_stable_decay"]],
];

/** Options that adapters do without, and options of adapters where there are none. */
function refuseLora(values: Values, given: (name: OptionName) => boolean, refuse: Refuse): void {
  if (Number(values.loraR) > 0) {
    if (given("usePeft") && !values.usePeft) {
      refuse("no --lora-r with --no-use-peft", `${values.loraR}`);
    }
    for (const name of ["trainLayers", "head", "trainFinalNorm", "trainEmbeddings"] as const) {
      if (!given(name)) continue;
      refuse(`no --${kebabCase(name)} with LoRA, whose adapters train alone`, `${values[name]}`);
    }
    const targets = String(values.loraTargetModules).split(",");
    if (targets.includes("all-linear") && targets.length > 1) {
      refuse("--lora-target-modules all-linear alone, as it means all", targets.join(","));
    }
    return;
  }
  if (values.usePeft) refuse("--lora-r above 0 with --use-peft", "0");
  const names = [
    "loraAlpha",
    "loraTargetModules",
    "loraDropout",
    "useRslora",
    "layersToTransform",
  ] as const;
  for (const name of names) {
    if (given(name)) refuse(`--${kebabCase(name)} only with --lora-r above 0`, "no adapters");
  }
}

function refuseContradictions(values: Values, origins: Origins): void {
  const given = (name: OptionName) => givenByUser(origins, name);
  const refuse: Refuse = (expected, found) => {
    throw new UserError(`Expected ${expected}, found ${found}`);
  };
  if ("lossType" in values) refuseMisfits(values, given("logprob"), refuse);
  for (const name of Object.keys(values) as OptionName[]) {
    const { optim, default: usual } = specOf(name);
    if (!optim || optim.includes(values.optim as string) || values[name] === usual) continue;
    refuse(`--${kebabCase(name)} only with --optim ${optim.join(" or ")}`, `${values.optim}`);
  }
  for (const [name, readers] of SCHEDULE_OPTIONS) {
    const { lrSchedulerType: type } = values;
    if (type === undefined || readers.includes(type as string)) continue;
    if (values[name] === specOf(name).default) continue;
    refuse(
      `--${kebabCase(name)} only with --lr-scheduler-type ${readers.join(" or ")}`,
      `${type}`,
    );
  }
  for (const rule of FILTER_RULES) {
    if (values.filter === "none" && given(rule)) {
      refuse(`--${kebabCase(rule)} only with --filter strong`, "no filter");
    }
  }
  if ("loraR" in values) refuseLora(values, given, refuse);
  if (values.maxSteps === 0) {
    refuse("--max-steps of at least 1, or -1 for none", "0, which is no step");
  }
  if (values.streaming) {
    if (Number(values.maxSteps) < 1) {
      refuse("--max-steps with --streaming, whose end is not known", `${values.maxSteps}`);
    }
    if (values.maxPairs) refuse("no --max-pairs with --streaming", `${values.maxPairs}`);
  }
  if (values.streaming && Number(values.datasetNumProc) > 1) {
    refuse("no --dataset-num-proc with --streaming", `${values.datasetNumProc}`);
  }
  if (values.streaming === false && given("shuffleBufferSize")) {
    refuse("--shuffle-buffer-size only with --streaming", "a dataset in memory");
  }
  for (const name of ["evalDataset", "reference"] as const) {
    if (values.audit === false && given(name)) {
      refuse(`--${kebabCase(name)} only with --audit`, "rows to show");
    }
  }
  for (const name of ["precision", "adapter", "engine"] as const) {
    if ("audit" in values && values.reference === null && given(name)) {
      refuse(`--${name} only with a --reference`, "nothing that needs a GPU");
    }
  }
  if (Number(values.warmupSteps) > 1 && !Number.isInteger(values.warmupSteps)) {
    refuse("--warmup-steps to be whole, or a share below 1", `${values.warmupSteps}`);
  }
  for (const name of ["hubModelId", "hubPrivateRepo"] as const) {
    if (values.pushToHub === false && given(name)) {
      refuse(`--push-to-hub with --${kebabCase(name)}`, "nothing to be uploaded");
    }
  }
  if (given("saveTotalLimit") && values.saveSteps === 0) {
    refuse("--save-total-limit only with --save-steps", "no checkpoints to be written");
  }
  if (values.evalStrategy === "no") {
    for (
      const name of [
        ...["evalSteps", "metricForBestModel", "greaterIsBetter", "loadBestModelAtEnd"],
        "earlyStoppingPatience",
      ] as OptionName[]
    ) {
      if (given(name) && values[name] !== specOf(name).default) {
        refuse(`--${kebabCase(name)} only with --eval-strategy steps or epoch`, "no evaluations");
      }
    }
  } else if (values.evalStrategy !== undefined) {
    if (values.evalDataset === null) {
      refuse(`--eval-dataset with --eval-strategy ${values.evalStrategy}`, "no held-out pairs");
    }
    if (values.evalStrategy === "epoch" && values.streaming) {
      refuse("--eval-strategy steps with --streaming, whose epochs have no end", "epoch");
    }
  }
  if (values.resume === "latest" && origins.output?.source === "automatic") {
    refuse("--resume with the --output directory to go on in, or with a checkpoint", "neither");
  }
  if ("promptIds" in values && values.adapter !== "list") {
    const prompts = [values.prompt, values.promptIds].filter((prompt) => prompt !== null);
    if (prompts.length > 1) refuse("one of --prompt and --prompt-ids", "both");
    if (values.chat && values.promptIds) refuse("--chat only with --prompt", "--prompt-ids");
  }
}
