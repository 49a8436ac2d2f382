/** The memory that a run is said to need, against what it took. */
import assert from "node:assert/strict";
import { lackOfF16 } from "../kernels/harness.ts";
import { unless } from "../skip.ts";
import { byteTokenizerFiles } from "../text/byte_tokenizer.ts";
import { inTemporaryDirectory, runOk } from "./command.ts";
import { writeModel } from "./inputs.ts";

/** Rows of text of many lengths, and a model that reads them. */
async function writeTexts(path: string) {
  const model = await writeModel(`${path}/model`, {
    max_position_embeddings: 256,
    num_hidden_layers: 4,
  });
  for (const [name, text] of Object.entries(byteTokenizerFiles())) {
    await Deno.writeTextFile(`${model}/${name}`, text);
  }
  const row = (_: unknown, i: number) => ({
    prompt: `What is ${i}? ${"Please. ".repeat(i % 7)}`,
    chosen: `It is ${i}. ${"Yes! ".repeat(i % 5)}`,
    rejected: "No. ".repeat(i % 11 + 1),
  });
  const write = async (name: string, length: number) => {
    const rows = Array.from({ length }, row).map((row) => JSON.stringify(row));
    await Deno.writeTextFile(`${path}/${name}`, rows.join("\n"));
    return `${path}/${name}`;
  };
  return {
    model,
    dataset: await write("train.jsonl", 16),
    heldOut: await write("held_out.jsonl", 6),
  };
}

const settings: Record<string, (string | number)[]> = {
  "the defaults": [],
  "a reference of its own": ["--reference", "MODEL"],
  "one pair at a time": ["--per-device-train-batch-size", 1],
  "frozen layers, two epochs": ["--train-layers", 1, "--head", "untied", "--num-train-epochs", 2],
  "f16, one pair at a time": ["--precision", "f16", "--batch-size", 1],
  "adapters, layers computed again": ["--lora-r", 4, "--gradient-checkpointing"],
  "a reference that follows": ["--sync-ref-model", "--ref-model-sync-steps", 1],
  "one of its own that follows, f16": [
    ...["--reference", "MODEL", "--sync-ref-model", "--ref-model-sync-steps", 1],
    ...["--precision", "f16"],
  ],
  "batches of 200 tokens": ["--max-tokens-per-batch", 200],
  "no held-out pairs": ["--eval-dataset", "NONE"],
};

for (const [name, flags] of Object.entries(settings)) {
  const isHalf = flags.includes("f16");
  Deno.test({
    ...unless(
      isHalf ? lackOfF16 : null,
      `train takes the memory that it plans, within 10 %: ${name}`,
    ),
    fn: () =>
      inTemporaryDirectory(async (path) => {
        const { model, dataset, heldOut } = await writeTexts(path);
        const output = `${path}/run`;
        const words = [
          "--eval-dataset",
          heldOut,
          ...flags.map((flag) => flag === "MODEL" ? model : flag),
        ];
        if (flags.includes("NONE")) words.splice(0);
        await runOk("train", "--model", model, "--dataset", dataset, "--output", output, ...words);
        await assertPlanned(output);
      }),
  });
}

Deno.test("sft takes the memory that it plans, within 10 %", () =>
  inTemporaryDirectory(async (path) => {
    const { model } = await writeTexts(path);
    const write = async (name: string, length: number) => {
      const rows = Array.from(
        { length },
        (_, i) => ({ text: "What is there? ".repeat(i % 9 + 1) }),
      );
      await Deno.writeTextFile(name, rows.map((row) => JSON.stringify(row)).join("\n"));
      return name;
    };
    const dataset = await write(`${path}/texts.jsonl`, 24);
    const heldOut = await write(`${path}/others.jsonl`, 17);
    for (const [i, size] of [1, 8].entries()) {
      const output = `${path}/run-${i}`;
      const words = ["--eval-dataset", heldOut, "--batch-size", size, "--output", output];
      await runOk("sft", "--model", model, "--dataset", dataset, ...words);
      await assertPlanned(output);
    }
  }));

async function assertPlanned(output: string): Promise<void> {
  const { memory } = JSON.parse(await Deno.readTextFile(`${output}/run.json`));
  const { plannedBytes, peakBytes } = memory;
  assert.ok(
    Math.abs(plannedBytes / peakBytes - 1) < 0.1,
    `planned ${plannedBytes} bytes, taken ${peakBytes}`,
  );
}
