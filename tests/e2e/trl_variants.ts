/**
 * Short runs of TRL 1.16 with each of its losses and with what changes them, recorded by
 *
 *     PATH=peer/bin:$PATH deno run -A tests/e2e/trl_variants.ts > tests/e2e/trl_variants.json
 *
 * @module
 */
import { inTemporaryDirectory, jsonLines } from "./command.ts";
import { trainWithTrl, type TrlRun, writeRows } from "./trl.ts";

const STEPS = 20;
/** Answers that a step of TRL's KTOTrainer takes, and pairs that one of its DPOTrainer does. */
const BATCH = { kto: 4, dpo: 2 };

/** Metrics that are compared where TRL has them; `kl` of what has none is 0 there. */
export const COMPARED = [
  ...["loss", "grad_norm", "kl", "rewards/chosen", "rewards/rejected", "rewards/margins"],
  ...["logps/chosen", "logps/rejected"],
];

/** A run: the trainer, what its rows are, and its options by TRL's names. */
interface Variant {
  trainer: "dpo" | "kto";
  rows: "pairs" | "answers";
  options: Record<string, string | number | boolean | (string | number)[]>;
}

/** A run of pairs with a loss, or several. */
function ofPairs(loss_type: string | string[], options: Variant["options"] = {}): Variant {
  return { trainer: "dpo", rows: "pairs", options: { loss_type: [loss_type].flat(), ...options } };
}

export const VARIANTS = {
  kto: {
    trainer: "kto",
    rows: "answers",
    options: { loss_type: "kto", undesirable_weight: 1.5 },
  },
  "kto of pairs": {
    trainer: "kto",
    rows: "pairs",
    options: { loss_type: "kto", desirable_weight: 0.5 },
  },
  apo_zero_unpaired: {
    trainer: "kto",
    rows: "answers",
    options: { loss_type: "apo_zero_unpaired" },
  },
  wpo: ofPairs("sigmoid", { use_weighting: true }),
  sigmoid: ofPairs("sigmoid"),
  hinge: ofPairs("hinge", { beta: 0.5 }),
  ipo: ofPairs("ipo"),
  exo_pair: ofPairs("exo_pair", { label_smoothing: 1e-3 }),
  nca_pair: ofPairs("nca_pair"),
  robust: ofPairs("robust", { label_smoothing: 0.1 }),
  bco_pair: ofPairs("bco_pair"),
  sppo_hard: ofPairs("sppo_hard", { beta: 0.01 }),
  aot: ofPairs("aot"),
  aot_unpaired: ofPairs("aot_unpaired"),
  apo_zero: ofPairs("apo_zero"),
  apo_down: ofPairs("apo_down"),
  discopop: ofPairs("discopop"),
  sft: ofPairs("sft"),
  sigmoid_norm: ofPairs("sigmoid_norm"),
  "several losses": ofPairs(["sigmoid", "bco_pair", "sft"], { loss_weights: [0.8, 0.2, 1] }),
  "shared length": ofPairs("sigmoid", { ld_alpha: 0.5 }),
  forward_kl: ofPairs("sigmoid", { f_divergence_type: "forward_kl" }),
  js_divergence: ofPairs("sigmoid", { f_divergence_type: "js_divergence" }),
  alpha_divergence: ofPairs("hinge", {
    f_divergence_type: "alpha_divergence",
    f_alpha_divergence_coef: 0.4,
  }),
  "synced reference": ofPairs("sigmoid", { sync_ref_model: true, ref_model_sync_steps: 3 }),
  "kto, synced reference": {
    trainer: "kto",
    rows: "answers",
    options: {
      loss_type: "kto",
      sync_ref_model: true,
      ref_model_mixup_alpha: 0.3,
      ref_model_sync_steps: 4,
    },
  },
} satisfies Record<string, Variant>;
export type VariantName = keyof typeof VARIANTS;

/** Writes the rows of a run: pairs in text, or an answer of each with its label. */
export async function writeVariantRows(name: VariantName, path: string): Promise<string> {
  const { trainer, rows: kind }: Variant = VARIANTS[name];
  const answersOfRow = trainer === "kto" && kind === "pairs" ? 2 : 1;
  const pairs = jsonLines<Record<"prompt" | "chosen" | "rejected", string>>(
    await Deno.readTextFile(await writeRows(path)),
  ).slice(0, STEPS * BATCH[trainer] / answersOfRow);
  const rows = kind === "pairs" ? pairs : pairs.map((pair, i) => {
    const label = i % 3 !== 1;
    return { prompt: pair.prompt, completion: label ? pair.chosen : pair.rejected, label };
  });
  await Deno.writeTextFile(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return path;
}

/** What a run has beside the options of all, by TRL's names. */
export function optionsOf(name: VariantName): Variant["options"] {
  const { trainer, options }: Variant = VARIANTS[name];
  return { per_device_train_batch_size: BATCH[trainer], ...options };
}

/** Trains with the TRL that Python finds. */
export async function trainVariant(
  name: VariantName,
  dataset: string,
): Promise<Pick<TrlRun, "versions" | "steps">> {
  const { trainer } = VARIANTS[name];
  const { versions, steps } = await trainWithTrl(trainer, dataset, optionsOf(name));
  const compared = (step: Record<string, number>) =>
    Object.fromEntries(Object.entries(step).filter(([metric]) => COMPARED.includes(metric)));
  return { versions, steps: steps.map(compared) };
}

if (import.meta.main) {
  const runs: Partial<Record<VariantName, unknown>> = {};
  for (const name of Object.keys(VARIANTS) as VariantName[]) {
    await inTemporaryDirectory(async (path) => {
      const dataset = await writeVariantRows(name, `${path}/rows.jsonl`);
      runs[name] = await trainVariant(name, dataset);
    });
  }
  // PyTorch computes in f32, which nine digits hold.
  const brief = (_: string, value: unknown) =>
    typeof value === "number" ? Number(value.toPrecision(9)) : value;
  console.log(JSON.stringify(runs, brief, 1));
}
