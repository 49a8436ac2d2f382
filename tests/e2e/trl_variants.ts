/**
 * Short runs of TRL 1.16 with KTO and with WPO's weights, recorded by
 *
 *     PATH=peer/bin:$PATH deno run -A tests/e2e/trl_variants.ts > tests/e2e/trl_variants.json
 *
 * @module
 */
import { askPython } from "../python.ts";
import { inTemporaryDirectory, jsonLines } from "./command.ts";
import { LEARNING_RATE, MODEL, type TrlRun, writeRows } from "./trl.ts";

/** Rows of a run. */
const ROWS = 20;

/** A run: the trainer, what its rows are, and its options by TRL's names. */
interface Variant {
  trainer: "dpo" | "kto";
  rows: "pairs" | "answers";
  options: Record<string, string | number | boolean>;
}

export const VARIANTS = {
  kto: {
    trainer: "kto",
    rows: "answers",
    options: { loss_type: "kto", undesirable_weight: 1.5, per_device_train_batch_size: 4 },
  },
  "kto of pairs": {
    trainer: "kto",
    rows: "pairs",
    options: { loss_type: "kto", desirable_weight: 0.5, per_device_train_batch_size: 4 },
  },
  apo_zero_unpaired: {
    trainer: "kto",
    rows: "answers",
    options: { loss_type: "apo_zero_unpaired", per_device_train_batch_size: 4 },
  },
  wpo: {
    trainer: "dpo",
    rows: "pairs",
    options: { use_weighting: true, per_device_train_batch_size: 2 },
  },
} satisfies Record<string, Variant>;
export type VariantName = keyof typeof VARIANTS;

/** Writes the rows of a run: pairs in text, or an answer of each with its label. */
export async function writeVariantRows(name: VariantName, path: string): Promise<string> {
  const pairs = jsonLines<Record<"prompt" | "chosen" | "rejected", string>>(
    await Deno.readTextFile(await writeRows(path)),
  ).slice(0, ROWS);
  const rows = VARIANTS[name].rows === "pairs" ? pairs : pairs.map((pair, i) => {
    const label = i % 3 !== 1;
    return { prompt: pair.prompt, completion: label ? pair.chosen : pair.rejected, label };
  });
  await Deno.writeTextFile(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return path;
}

/** Trains with the TRL that Python finds. */
export function trainVariant(
  name: VariantName,
  dataset: string,
): Promise<Pick<TrlRun, "versions" | "steps">> {
  const { trainer, options } = VARIANTS[name];
  return askPython(new URL("trl_variants_peer.py", import.meta.url), {
    model: MODEL,
    dataset,
    trainer,
    arguments: {
      learning_rate: LEARNING_RATE,
      num_train_epochs: 1,
      lr_scheduler_type: "linear",
      max_length: 1024,
      beta: 0.1,
      weight_decay: 0,
      max_grad_norm: 1,
      ...options,
    },
  });
}

if (import.meta.main) {
  const runs: Partial<Record<VariantName, unknown>> = {};
  for (const name of Object.keys(VARIANTS) as VariantName[]) {
    await inTemporaryDirectory(async (path) => {
      const dataset = await writeVariantRows(name, `${path}/rows.jsonl`);
      runs[name] = await trainVariant(name, dataset);
    });
  }
  console.log(JSON.stringify(runs, null, 1));
}
