/** Adapters from training to a whole model, as a user goes about it. */
import assert from "node:assert/strict";
import { openStoredModel } from "../../src/platform/models.ts";
import { logitsOf } from "../model/logits.ts";
import { inTemporaryDirectory, run, runOk } from "./command.ts";
import { inputFlags, readAdapter, readMetrics, writeInputs, writeModel } from "./inputs.ts";

const LORA = ["--lora-r", 4, "--lora-alpha", 8, "--lora-target-modules", "all-linear"];
const FLAGS = [
  ...["--num-train-epochs", 2, "--per-device-train-batch-size", 2, "--learning-rate", 0.02],
  ...["--lr-scheduler-type", "cosine", "--max-length", 64, "--gradient-accumulation-steps", 2],
];

const sizeOf = async (path: string) => (await Deno.stat(path)).size;
const IDS = [3, 17, 40, 5, 99];

async function logitsAt(path: string): Promise<number[]> {
  using model = await openStoredModel(path);
  return await logitsOf(model, IDS);
}

Deno.test("adapters: trained, resumed to the bit, evaluated, gone on with, merged", () =>
  inTemporaryDirectory(async (directory) => {
    const inputs = await writeInputs(directory, 12);
    const whole = `${directory}/whole`;
    const train = ["train", ...inputFlags(inputs), ...FLAGS] as [string, ...(string | number)[]];
    const { stderr } = await runOk(
      ...train,
      ...LORA,
      ...["--save-steps", 2, "--save-total-limit", 9, "--verbose", "--output", whole],
    );
    assert.match(stderr, /self-check loss ln 2 at step 1/);
    assert.match(stderr, /trained {4}\d+ of \d+ weights \(\d+\.\d %\)/);

    const resumed = `${directory}/resumed`;
    const checkpoint = `${whole}/checkpoints/step-4`;
    await runOk(...train, ...LORA, "--output", resumed, "--resume", checkpoint);
    assert.deepEqual(await readAdapter(resumed), await readAdapter(whole));
    const metrics = await readMetrics(whole);
    assert.deepEqual(await readMetrics(resumed), metrics.slice(5));
    const [model, saved] = [
      await sizeOf(`${inputs.model}/model.safetensors`),
      await sizeOf(`${checkpoint}/tensors.safetensors`),
    ];
    assert.ok(saved < model, `a checkpoint of ${saved} bytes, of a model of ${model}`);

    // A checkpoint of the last step is the adapter that was saved.
    const logits = await logitsAt(whole);
    assert.deepEqual(await logitsAt(`${whole}/checkpoints/step-6`), logits);
    assert.notDeepEqual(await logitsAt(checkpoint), logits);

    const merged = `${directory}/merged`;
    await runOk("convert", "--model", whole, "--merge", "--output", merged);
    assert.deepEqual(await logitsAt(merged), logits);
    const base = await logitsAt(inputs.model);
    assert.ok(base.some((x, i) => Math.abs(x - logits[i]) > 0.1), "training shows");

    const shown = ["--model", whole, "--dataset", inputs.pairs, "--rows", 1] as const;
    await runOk("inspect", ...shown);
    await runOk("inspect", ...shown.slice(0, 4), "--audit");

    const score = ["--reference", inputs.model, "--dataset", inputs.heldOut, "--json"];
    const [ofAdapter, ofMerged] = await Promise.all(
      [whole, merged].map(async (model) =>
        (await runOk("eval", "--model", model, ...score, "--max-length", 64)).stdout
      ),
    );
    assert.equal(ofAdapter, ofMerged);
    // The adapter in training, f32 sums apart, is the merged model.
    const margin = JSON.parse(ofMerged)["eval_rewards/margins"];
    const trained = metrics.at(-1)!["eval_rewards/margins"];
    assert.ok(Math.abs(margin - trained) < 1e-4 * Math.abs(trained), `${margin}, ${trained}`);

    const further = `${directory}/further`;
    const going = inputFlags({ ...inputs, model: whole });
    const again = await runOk(
      "train",
      ...going,
      ...FLAGS,
      ...LORA,
      "--verbose",
      "--output",
      further,
    );
    assert.match(again.stderr, /self-check loss ln 2 at step 1/);
    const config = JSON.parse(await Deno.readTextFile(`${further}/adapter_config.json`));
    assert.equal(config.base_model_name_or_path, inputs.model);
    assert.notDeepEqual(await logitsAt(further), logits);
  }));

Deno.test("adapters trained on text are a start for pairs, also for training in full", () =>
  inTemporaryDirectory(async (directory) => {
    const inputs = await writeInputs(directory, 6);
    const text = `${directory}/text.jsonl`;
    const rows = Array.from(
      { length: 6 },
      (_, i) => JSON.stringify({ input_ids: [i + 1, 5, 6, 7, 8] }),
    );
    await Deno.writeTextFile(text, `${rows.join("\n")}\n`);
    const tuned = `${directory}/tuned`;
    const sft = ["--model", inputs.model, "--dataset", text, "--learning-rate", 0.02];
    const { code, stderr } = await run(
      "sft",
      ...sft,
      ...["--use-peft", "--max-steps", 3, "--max-length", 64, "--output", tuned],
    );
    if (code !== 0) assert.fail(stderr);
    assert.equal(JSON.parse(await Deno.readTextFile(`${tuned}/adapter_config.json`)).r, 16);
    const full = `${directory}/full`;
    const cached = ["--cache-dir", `${directory}/cache`];
    const flags = [...inputFlags({ ...inputs, model: tuned }), ...cached];
    const { stderr: said } = await runOk(
      "train",
      ...flags,
      ...FLAGS,
      "--verbose",
      "--output",
      full,
    );
    // Scores of merged weights are not those of adapters beside them.
    const going = ["--use-peft", "--verbose", "--output", `${directory}/going`];
    const { stderr: beside } = await runOk("train", ...flags, ...FLAGS, ...going);
    assert.match(beside, /reference scores of .*pairs.jsonl: none yet/);
    assert.match(said, /adapters of 4 matrices in .*tuned, over .*model/);
    assert.ok(await sizeOf(`${full}/model.safetensors`) > 0);
    assert.equal(
      await Deno.stat(`${full}/adapter_config.json`).then(() => true, () => false),
      false,
    );
  }));

const REFUSED: [flags: (string | number)[], expected: RegExp][] = [
  [["--lora-r", 17], /Expected --lora-r of at most 16, the smaller side of v_proj, found 17/],
  [
    ["--lora-r", 4, "--train-layers", 1],
    /Expected no --train-layers with LoRA, whose adapters train alone, found 1/,
  ],
  [["--lora-r", 4, "--head", "tied"], /Expected no --head with LoRA/],
  [["--lora-alpha", 4], /Expected --lora-alpha only with --lora-r above 0, found no adapters/],
  [
    ["--lora-r", 4, "--lora-dropout", 0.05],
    /Expected --lora-dropout to be a number .*found "0.05"/,
  ],
  [
    ["--lora-r", 4, "--lora-target-modules", "query_key_value"],
    /Expected --lora-target-modules to be one of all-linear, q_proj, .*found "query_key_value"/,
  ],
  [
    ["--lora-r", 4, "--lora-target-modules", "all-linear,q_proj"],
    /Expected --lora-target-modules all-linear alone, as it means all/,
  ],
  [
    ["--lora-r", 4, "--layers-to-transform", "0,2"],
    /Expected --layers-to-transform from 0 to 1, the model's layers, found 2/,
  ],
];

Deno.test("adapters that cannot be are refused before the first step", () =>
  inTemporaryDirectory(async (directory) => {
    const inputs = inputFlags(await writeInputs(directory, 4));
    const output = `${directory}/run`;
    for (const [flags, expected] of REFUSED) {
      await refused(expected, "train", ...inputs, ...flags, "--max-length", 64, "--output", output);
      assert.equal(await Deno.stat(output).then(() => true, () => false), false);
    }
  }));

Deno.test("adapters that belong to another model, or are of another kind, are refused", () =>
  inTemporaryDirectory(async (directory) => {
    const inputs = await writeInputs(directory, 4);
    const adapter = `${directory}/adapter`;
    const steps = ["--max-steps", 1, "--max-length", 64, "--output", adapter];
    await runOk("train", ...inputFlags(inputs), ...LORA, ...steps);
    const ask = ["generate", "--prompt-ids", "3,4", "--max-new-tokens", 2, "--model"] as const;
    await runOk(...ask, adapter);
    const scored = inputFlags({ ...inputs, model: adapter });
    await refused(
      /Expected the adapters that --model has already, r 4, .* found options for r 2/,
      ...["train", ...scored, "--lora-r", 2, "--output", `${directory}/other`] as const,
    );
    await refused(/Expected --merge for .*adapter, found none/, "convert", "--model", adapter, ...[
      "--output",
      `${directory}/merged`,
    ]);
    await refused(
      /Expected adapters in .* for --merge, found a whole model/,
      ...["convert", "--merge", "--model", inputs.model, "--output", `${directory}/m`] as const,
    );

    const path = `${adapter}/adapter_config.json`;
    const config = JSON.parse(await Deno.readTextFile(path));
    const changed = async (change: Record<string, unknown>, expected: RegExp) => {
      await Deno.writeTextFile(path, JSON.stringify({ ...config, ...change }));
      await refused(expected, "convert", "--merge", ...[
        "--output",
        `${directory}/m`,
        "--model",
        adapter,
      ]);
    };
    await changed({ use_dora: true }, /expected "use_dora" to be false, .*found true/);
    await changed({ modules_to_save: ["lm_head"] }, /expected "modules_to_save" to be null/);
    await changed({ peft_type: "LOHA" }, /expected "peft_type" to be "LORA"/);
    await changed(
      { r: 3 },
      /Cannot load ".*lora_A.weight" of .*: expected shape \(3, 48\), found \(4, 48\)/,
    );
    await changed(
      { base_model_name_or_path: `${directory}/nowhere` },
      /Cannot load the adapter .*expected the model .*nowhere that it names in adapter_config.json/,
    );
    const same = await writeModel(`${directory}/same shape`, {}, 2);
    await changed(
      { base_model_name_or_path: same },
      /Cannot load the adapter .*expected .*same shape with the weights that it was trained on/,
    );
    await Deno.remove(`${adapter}/run.json`);
    const wider = await writeModel(`${directory}/wider`, { hidden_size: 96, head_dim: 16 });
    await changed(
      { base_model_name_or_path: wider },
      /expected shape \(4, 96\), found \(4, 48\): check that it was trained on .*wider/,
    );
    const shallow = await writeModel(`${directory}/shallow`, { num_hidden_layers: 1 });
    await changed(
      { base_model_name_or_path: shallow },
      /expected adapters of linear layers of .*shallow, found some of "model.layers.1\./,
    );
  }));

/** Checks that a command refuses in one line that matches. */
async function refused(
  expected: RegExp,
  command: string,
  ...flags: (string | number)[]
): Promise<void> {
  const { code, stdout, stderr } = await run(command, ...flags);
  assert.equal(code, 2, stderr);
  assert.equal(stdout, "");
  assert.match(stderr, /^(?:weights [^\n]+\n)?error: [^\n]+\n$/);
  assert.match(stderr, expected);
}
