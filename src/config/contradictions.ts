// This module is browser compatible.
/**
 * Which options exclude each other, and which apply only beside others.
 *
 * @module
 */
import { UserError } from "../errors.ts";
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
import { FILTER_RULES, type OptionName } from "./options.ts";
import { givenByUser, type Origins, type Values } from "./origins.ts";
import { kebabCase, specOf } from "./values.ts";

type Refuse = (expected: string, found: string) => void;

/** The losses that ask for one kind of score, by the options that were read. */
export function decisiveTerms(values: Values): Term[] {
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
  if (values.syncRefModel && !needsReference(objective)) {
    refuse(
      `no --sync-ref-model with --loss-type ${values.lossType}, which does without a reference`,
      "it",
    );
  }
  refuseOfAnswers(values, terms, refuse);
  const sorting = terms.find(({ loss }) => loss.sorts);
  if (values.useWeighting && sorting) {
    refuse("--use-weighting only with losses of one pair each", sorting.type);
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
  const across = terms.find(({ loss }) => loss.ofAll);
  if (values.maxTokensPerBatch && across) {
    refuse(
      "no --max-tokens-per-batch with a loss of all pairs of a batch, which must stay whole",
      across.type,
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

/** Refuses what losses of single answers cannot work with. */
function refuseOfAnswers(values: Values, terms: readonly Term[], refuse: Refuse): void {
  const single = terms.find(({ loss }) => loss.answers);
  if (single === undefined) return;
  const type = `--loss-type ${single.type}`;
  if (terms.length > 1) refuse(`${type} alone, as it is of single answers`, `${values.lossType}`);
  if (values.ldAlpha !== null) refuse(`no --ld-alpha with ${type}`, `${values.ldAlpha}`);
  if (values.useWeighting) refuse(`no --use-weighting with ${type}`, "it");
  if (values.desirableWeight === 0 && values.undesirableWeight === 0) {
    refuse("--desirable-weight or --undesirable-weight above 0", "0 and 0");
  }
  if (single.loss.answers === "mismatched" && values.perDeviceTrainBatchSize === 1) {
    refuse(
      `--per-device-train-batch-size of at least 2 with ${type}, which sets answers behind each other's prompts`,
      "1",
    );
  }
}

/** Options that some schedules alone read. */
const SCHEDULE_OPTIONS: [name: OptionName, readers: string[]][] = [
  ["minLrRate", ["cosine_with_min_lr", "warmup_stable_decay"]],
  ["lrPower", ["polynomial"]],
  ["lrDecaySteps", ["warmup_stable_decay"]],
  ...(["lrFactor", "lrPatience", "lrThreshold", "lrThresholdMode", "lrCooldown", "minLr"] as const)
    .map((name): [OptionName, string[]] => [name, ["reduce_lr_on_plateau"]]),
];

/** Refuses what a reference that follows the model cannot do, and what one that stays does not read. */
function refuseSync(values: Values, refuse: Refuse): void {
  if (values.syncRefModel) {
    if (values.reference === null || Number(values.loraR) === 0) return;
    refuse(
      "no --reference with --sync-ref-model and LoRA, as adapters are mixed with adapters alone",
      `${values.reference}`,
    );
  }
  for (const name of ["refModelMixupAlpha", "refModelSyncSteps"] as const) {
    if (values[name] === specOf(name).default) continue;
    refuse(`--${kebabCase(name)} only with --sync-ref-model`, "a reference that stays as it is");
  }
}

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

/**
 * Refuses options that do not go together, or that nothing here would read.
 *
 * @throws {UserError} That says what was expected, and what was found.
 */
export function refuseContradictions(values: Values, origins: Origins): void {
  const given = (name: OptionName) => givenByUser(origins, name);
  const refuse: Refuse = (expected, found) => {
    throw new UserError(`Expected ${expected}, found ${found}`);
  };
  if ("lossType" in values) refuseMisfits(values, given("logprob"), refuse);
  if ("syncRefModel" in values) refuseSync(values, refuse);
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
  if (values.lrSchedulerType === "reduce_lr_on_plateau") {
    if (!["steps", "epoch"].includes(values.evalStrategy as string)) {
      const found = values.evalStrategy === undefined ? "a command without" : "no evaluations";
      refuse("--eval-strategy steps or epoch with --lr-scheduler-type reduce_lr_on_plateau", found);
    }
    if (values.warmupSteps !== 0) {
      refuse("no --warmup-steps with reduce_lr_on_plateau", `${values.warmupSteps}`);
    }
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
  if (!("lossType" in values) && values.reference === null && given("beta")) {
    refuse("--beta only with a --reference", "no rewards to be measured");
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
  const reserved = Object.keys(Object(values.evalDataset ?? {})).find((set) =>
    typeof values.evalDataset === "object" && /(^|_)filtered$/.test(set)
  );
  if (reserved !== undefined) {
    refuse(
      "names of held-out sets that do not end in filtered, as measures of strong pairs do",
      reserved,
    );
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
