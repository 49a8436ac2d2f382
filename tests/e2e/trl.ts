/**
 * A run of TRL's DPOTrainer to compare with: what goes in, and what came out of it when it was recorded by
 *
 *     PATH=peer/bin:$PATH deno run -A tests/e2e/trl.ts > tests/e2e/trl_run.json
 *
 * TRL appends the end token to whatever it takes for an answer and shuffles; here answers come without one, as text, and
 * rows in their order. The learning rate is larger than TRL's default, so that 50 steps change the loss, and the batch
 * smaller, so that they take less time.
 *
 * @module
 */
import { openDirectory } from "../../src/platform/files.ts";
import { renderChat } from "../../src/text/chat.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { askPython } from "../python.ts";
import { inTemporaryDirectory, jsonLines } from "./command.ts";

export const MODEL = "fixtures/model";
export const STEPS = 50;
export const BATCH = 2;
export const LEARNING_RATE = 5e-5;

/** What TRL says of a run. */
export interface TrlRun {
  versions: Record<string, string>;
  /** Token ids of the first rows, end tokens included. */
  rows: Record<"prompt" | "chosen" | "rejected", number[]>[];
  /** A line per step, with TRL's names. */
  steps: Record<string, number>[];
}

type Turns = { role: string; content: string }[];

/** Writes the shipped pairs as text: prompts through the chat template, answers bare. */
export async function writeRows(path: string): Promise<string> {
  const tokenizer = (await loadTokenizer(await openDirectory(MODEL)))!;
  const pairs = jsonLines<Record<"prompt" | "chosen" | "rejected", Turns>>(
    await Deno.readTextFile("fixtures/pairs/train.jsonl"),
  );
  const rows = pairs.slice(0, STEPS * BATCH).map(({ prompt, chosen, rejected }) => ({
    prompt: renderChat(tokenizer.chatTemplate!, prompt, { addGenerationPrompt: true, tokenizer }),
    chosen: chosen[0].content,
    rejected: rejected[0].content,
  }));
  await Deno.writeTextFile(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return path;
}

/**
 * Trains with the TRL that Python finds.
 *
 * @param options What the configuration gets beside the options that all runs have, by TRL's names.
 * @param steps To end after, on the schedule of all steps; all of them where none are named.
 */
export function trainWithTrl(
  trainer: "dpo" | "kto",
  dataset: string,
  options: Record<string, unknown>,
  steps: number | null = null,
): Promise<TrlRun> {
  return askPython<TrlRun>(new URL("trl_peer.py", import.meta.url), {
    model: MODEL,
    dataset,
    trainer,
    steps,
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
  await inTemporaryDirectory(async (path) => {
    const dataset = await writeRows(`${path}/rows.jsonl`);
    const run = await trainWithTrl("dpo", dataset, { per_device_train_batch_size: BATCH });
    if (typeof run === "string") throw new Error(run);
    console.log(JSON.stringify({ ...run, rows: run.rows.slice(0, 3) }, null, 1));
  });
}
