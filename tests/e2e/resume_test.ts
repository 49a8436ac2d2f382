/** A resumed run has the bits of one that was never interrupted. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { lackOfF16 } from "../kernels/harness.ts";
import { randomPairs } from "../model/small_models.ts";
import { inTemporaryDirectory, run, runOk } from "./command.ts";
import {
  inputFlags,
  type Inputs,
  readMetrics,
  readModel,
  writeInputs,
  writeModel,
  writePairs,
} from "./inputs.ts";
import { lackOfSignals, unless } from "../skip.ts";

const STEPS_PER_EPOCH = 5;

/** A run of three epochs in new orders, with trunk and reference cached, and a rate that depends on the step. */
const FLAGS = [
  ...["--num-train-epochs", 3, "--per-device-train-batch-size", 2, "--learning-rate", 1e-3],
  ...["--lr-scheduler-type", "cosine", "--warmup-steps", 2, "--max-length", 64],
  ...["--train-layers", 1, "--head", "untied", "--weight-decay", 0.01],
];

Deno.test("train: resumed at a middle step and at the end of an epoch", () =>
  inTemporaryDirectory(async (directory) => {
    const inputs = inputFlags(await writeInputs(directory, 2 * STEPS_PER_EPOCH));
    const whole = `${directory}/whole`;
    const saving = ["--save-steps", 1, "--save-total-limit", 99];
    await runOk("train", ...inputs, ...FLAGS, ...saving, "--output", whole);
    const plain = `${directory}/plain`;
    await runOk("train", ...inputs, ...FLAGS, "--output", plain);
    assert.deepEqual(await readModel(plain), await readModel(whole), "saving changes the run");
    const metrics = await readMetrics(whole);
    assert.deepEqual(await readMetrics(plain), metrics);
    assert.equal(metrics.length, 3 * STEPS_PER_EPOCH + 2, "steps, and evaluations at both ends");

    for (const step of [STEPS_PER_EPOCH + 2, 2 * STEPS_PER_EPOCH]) {
      const output = `${directory}/resumed-${step}`;
      const checkpoint = `${whole}/checkpoints/step-${step}`;
      await runOk("train", ...inputs, ...FLAGS, "--output", output, "--resume", checkpoint);
      assert.deepEqual(await readMetrics(output), metrics.slice(step + 1), `from step ${step}`);
      assert.deepEqual(await readModel(output), await readModel(whole), `from step ${step}`);
    }
  }));

Deno.test({
  ...unless(lackOfF16, "train: resumed at f16, with its loss scale"),
  fn: () =>
    inTemporaryDirectory(async (directory) => {
      const flags = [
        ...inputFlags(await writeInputs(directory, 2 * STEPS_PER_EPOCH)),
        ...FLAGS,
        "--precision",
        "f16",
      ];
      const whole = `${directory}/whole`;
      const saving = ["--save-steps", 7, "--save-total-limit", 9];
      await runOk("train", ...flags, ...saving, "--output", whole);
      const output = `${directory}/resumed`;
      const checkpoint = `${whole}/checkpoints/step-7`;
      await runOk("train", ...flags, "--output", output, "--resume", checkpoint);
      const metrics = await readMetrics(whole);
      assert.ok(metrics[1].loss_scale > 1);
      assert.deepEqual(await readMetrics(output), metrics.slice(8));
      assert.deepEqual(await readModel(output), await readModel(whole));
    }),
});

Deno.test("train: resumed with a reference that follows, the model's or one of its own", () =>
  inTemporaryDirectory(async (directory) => {
    const inputs = inputFlags(await writeInputs(directory, 2 * STEPS_PER_EPOCH));
    const reference = await writeModel(`${directory}/reference`, {}, 5);
    const sync = ["--sync-ref-model", "--ref-model-sync-steps", 3, "--ref-model-mixup-alpha", 0.5];
    for (const [i, more] of [[], ["--reference", reference]].entries()) {
      const flags = [...inputs, ...FLAGS, ...sync, ...more];
      const whole = `${directory}/whole-${i}`;
      const saving = ["--save-steps", 1, "--save-total-limit", 99];
      await runOk("train", ...flags, ...saving, "--output", whole);
      const metrics = await readMetrics(whole);
      // Before the first sync, right after one, and between two.
      for (const step of [2, 6, 7]) {
        const output = `${directory}/resumed-${i}-${step}`;
        const checkpoint = `${whole}/checkpoints/step-${step}`;
        await runOk("train", ...flags, "--output", output, "--resume", checkpoint);
        assert.deepEqual(await readMetrics(output), metrics.slice(step + 1), `from step ${step}`);
        assert.deepEqual(await readModel(output), await readModel(whole), `from step ${step}`);
      }
    }
    const others = [
      [...sync.slice(0, 4), 0.4],
      ["--sync-ref-model", "--ref-model-mixup-alpha", 0.5],
      [],
    ];
    const expected = ["refModelMixupAlpha 0.5", "refModelSyncSteps 3", "syncRefModel true"];
    for (const [i, other] of others.entries()) {
      const words = [...other, "--resume", `${directory}/whole-0/checkpoints/step-7`];
      const { code, stderr } = await run("train", ...inputs, ...FLAGS, ...words);
      assert.equal(code, 2);
      assert.ok(stderr.includes(`Cannot resume: expected ${expected[i]} as in`), stderr);
    }
  }));

Deno.test("train: resumed with layers computed again, and adapters, and batches by tokens", () =>
  inTemporaryDirectory(async (directory) => {
    const flags = [
      ...inputFlags(await writeInputs(directory, 2 * STEPS_PER_EPOCH)),
      ...["--batch-size", 3, "--gradient-accumulation-steps", 2, "--max-tokens-per-batch", 30],
      ...["--lora-r", 2, "--learning-rate", 1e-2, "--max-length", 64, "--num-train-epochs", 2],
    ];
    const whole = `${directory}/whole`;
    await runOk("train", ...flags, "--save-steps", 2, "--output", whole);
    const resume = ["--resume", `${whole}/checkpoints/step-2`];
    const output = `${directory}/resumed`;
    await runOk("train", ...flags, ...resume, "--gradient-checkpointing", "--output", output);
    assert.deepEqual(await readMetrics(output), (await readMetrics(whole)).slice(3));
    const name = "adapter_model.safetensors";
    const [expected, found] = await Promise.all(
      [whole, output].map((run) => Deno.readFile(`${run}/${name}`)),
    );
    assert.deepEqual(found, expected);
    const others = flags.map((flag) => flag === 30 ? 31 : flag);
    const other = await run("train", ...others, ...resume);
    assert.match(other.stderr, /expected maxTokensPerBatch 30 as in the checkpoint, found 31/);
  }));

Deno.test("train: resumed on single answers, alone and with others' answers behind their prompts", () =>
  inTemporaryDirectory(async (directory) => {
    const model = await writeModel(`${directory}/model`);
    const answers = `${directory}/answers.jsonl`;
    const rows = randomPairs(5, 2 * STEPS_PER_EPOCH, 113).map(({ chosen }, i) => ({
      input_ids: [...chosen.ids],
      prompt_length: chosen.promptLength,
      label: i % 3 !== 0,
      weight: 1 + i % 2,
    }));
    await Deno.writeTextFile(answers, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    for (const loss of ["kto", "apo_zero_unpaired"]) {
      const flags = [
        ...["--model", model, "--dataset", answers, "--loss-type", loss, ...FLAGS],
        ...["--undesirable-weight", 1.5],
      ];
      const whole = `${directory}/${loss}`;
      await runOk("train", ...flags, "--save-steps", 7, "--output", whole);
      const metrics = await readMetrics(whole);
      assert.ok(metrics.at(-1)!["rewards/chosen"] > 0, "it learns");
      assert.equal("kl" in metrics[0], loss === "kto");
      const output = `${directory}/resumed-${loss}`;
      const checkpoint = `${whole}/checkpoints/step-7`;
      await runOk("train", ...flags, "--output", output, "--resume", checkpoint);
      assert.deepEqual(await readMetrics(output), metrics.slice(7), loss);
      assert.deepEqual(await readModel(output), await readModel(whole), loss);
      const other = [
        "--resume",
        checkpoint,
        "--output",
        `${directory}/other`,
        "--weight-column",
        "none",
      ];
      const { code, stderr } = await run("train", ...flags, ...other);
      assert.deepEqual([code, /expected data /.test(stderr)], [2, true], stderr);
    }
  }));

Deno.test("train: resumed with another optimizer than the usual one, and with no other", () =>
  inTemporaryDirectory(async (directory) => {
    const flags = [...inputFlags(await writeInputs(directory, 2 * STEPS_PER_EPOCH)), ...FLAGS];
    for (
      const [optim, ...options] of [
        ["lion_32bit", "--adam-beta2", 0.99],
        ["muon", "--muon-momentum", 0.9, "--muon-adjust-lr-fn", "original"],
      ]
    ) {
      const other = [...flags, "--optim", optim, ...options];
      const whole = `${directory}/${optim}`;
      await runOk("train", ...other, "--save-steps", 7, "--save-total-limit", 9, "--output", whole);
      const metrics = await readMetrics(whole);
      assert.ok(metrics.at(-2)!.loss < metrics[1].loss, "it learns");
      const checkpoint = ["--resume", `${whole}/checkpoints/step-7`];
      const output = `${directory}/resumed-${optim}`;
      await runOk("train", ...other, ...checkpoint, "--output", output);
      assert.deepEqual(await readMetrics(output), metrics.slice(8), `${optim}`);
      assert.deepEqual(await readModel(output), await readModel(whole), `${optim}`);
      const usual = await run("train", ...flags, ...checkpoint, "--output", `${directory}/usual`);
      assert.equal(usual.code, 2);
      assert.match(
        usual.stderr,
        new RegExp(`Cannot resume: expected optim "${optim}" as in the checkpoint`),
      );
    }
  }));

Deno.test("sft: resumed at a middle step", () =>
  inTemporaryDirectory(async (directory) => {
    const model = await writeModel(`${directory}/model`);
    const rows = randomPairs(3, 7, 113, 30).map(({ chosen }) => ({ input_ids: [...chosen.ids] }));
    const dataset = `${directory}/text.jsonl`;
    await Deno.writeTextFile(dataset, rows.map((row) => JSON.stringify(row)).join("\n"));
    const flags = [
      ...["--model", model, "--dataset", dataset, "--num-train-epochs", 2, "--batch-size", 2],
      ...["--learning-rate", 1e-3, "--lr-scheduler-type", "linear", "--max-length", 64],
    ];
    const whole = `${directory}/whole`;
    await runOk("sft", ...flags, "--save-steps", 3, "--output", whole);
    const resumed = `${directory}/resumed`;
    const checkpoint = `${whole}/checkpoints/step-3`;
    await runOk("sft", ...flags, "--output", resumed, "--resume", checkpoint);
    assert.deepEqual(await readMetrics(resumed), (await readMetrics(whole)).slice(3));
    assert.deepEqual(await readModel(resumed), await readModel(whole));
  }));

Deno.test("a run is not resumed with other options or other data", () =>
  inTemporaryDirectory(async (directory) => {
    const inputs = await writeInputs(directory, 2 * STEPS_PER_EPOCH);
    const output = `${directory}/run`;
    const flags = [...FLAGS, "--output", output, "--save-steps", 15];
    await runOk("train", ...inputFlags(inputs), ...flags);
    const other = await run("train", ...inputFlags(inputs), ...flags, "--resume", "--beta", 0.3);
    assert.equal(other.code, 2);
    assert.match(other.stderr, /Cannot resume: expected beta 0.1 as in the checkpoint, found 0.3/);
    await writePairs(inputs.pairs, randomPairs(4, 10, 113, 30));
    const changed = await run("train", ...inputFlags(inputs), ...flags, "--resume");
    assert.equal(changed.code, 2);
    assert.match(changed.stderr, /Cannot resume: expected data "[0-9a-f]{64}"/);
  }));

Deno.test("a run goes on with the same weights and data elsewhere, and with no others in their place", () =>
  inTemporaryDirectory(async (directory) => {
    const inputs = await writeInputs(directory, 2 * STEPS_PER_EPOCH);
    const reference = await writeModel(`${directory}/reference`, {}, 5);
    const flags = (given: Inputs, reference: string) => [
      ...[...inputFlags(given), "--reference", reference, ...FLAGS],
    ];
    const output = `${directory}/run`;
    const saving = ["--save-steps", 7, "--save-total-limit", 9, "--output", output];
    await runOk("train", ...flags(inputs, reference), ...saving);

    const moved = { ...inputs, model: `${directory}/moved`, pairs: `${directory}/moved.jsonl` };
    await Deno.rename(inputs.model, moved.model);
    await Deno.rename(inputs.pairs, moved.pairs);
    await Deno.rename(reference, `${directory}/judge`);
    const checkpoint = `${output}/checkpoints/step-7`;
    const resume = (given: Inputs, reference: string, from = checkpoint) =>
      run(
        "train",
        ...flags(given, reference),
        ...["--output", `${directory}/${crypto.randomUUID()}`, "--resume", from],
      );
    const elsewhere = await resume(moved, `${directory}/judge`);
    assert.equal(elsewhere.code, 0, elsewhere.stderr);

    await writeModel(inputs.model, {}, 6);
    const sha = "[0-9a-f]{64}";
    const other = await resume({ ...moved, model: inputs.model }, `${directory}/judge`);
    assert.equal(other.code, 2);
    assert.match(
      other.stderr,
      RegExp(
        `Cannot resume: expected --model with weights ${sha} .*, found weights ${sha} .*: give`,
      ),
    );
    const judge = await resume(moved, inputs.model);
    assert.equal(judge.code, 2);
    assert.match(
      judge.stderr,
      /Cannot resume: expected --reference with weights .* found weights /,
    );

    // As earlier versions wrote it.
    const state = JSON.parse(await Deno.readTextFile(`${checkpoint}/state.json`));
    state.fingerprint.model = state.source;
    await Deno.writeTextFile(`${checkpoint}/state.json`, JSON.stringify(state));
    const manifest = JSON.parse(await Deno.readTextFile(`${checkpoint}/manifest.json`));
    const bytes = await Deno.readFile(`${checkpoint}/state.json`);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
    manifest.files["state.json"] = { bytes: bytes.length, sha256: digest };
    await Deno.writeTextFile(`${checkpoint}/manifest.json`, JSON.stringify(manifest));
    const old = await resume(moved, `${directory}/judge`);
    assert.equal(old.code, 2);
    assert.match(old.stderr, /Cannot resume: .* found one of an earlier version .*: train without/);
  }));

Deno.test("a run with a share of its steps as warm-up cannot be made longer", () =>
  inTemporaryDirectory(async (directory) => {
    const inputs = inputFlags(await writeInputs(directory, 4));
    const flags = ["--warmup-steps", 0.5, "--batch-size", 2, "--output", `${directory}/run`];
    const train = (...more: (string | number)[]) => run("train", ...inputs, ...flags, ...more);
    assert.equal((await train("--max-steps", 2, "--save-steps", 2)).code, 0);
    const longer = await train("--max-steps", 4, "--resume");
    assert.equal(longer.code, 2);
    assert.match(longer.stderr, /Cannot resume: expected totalSteps 2 .*, found 4.* where it ends/);
  }));

// In a process of its own: the test runner takes interrupts for itself.
Deno.test({
  ...unless(
    lackOfSignals,
    "an interrupt finishes the step and saves; resuming gives the bits of the whole run",
  ),
  fn: () =>
    inTemporaryDirectory(async (directory) => {
      const inputs = inputFlags(await writeInputs(directory, 80));
      const recipe = ["--batch-size", 2, "--learning-rate", 1e-3, "--max-length", 64];
      const output = `${directory}/interrupted`;
      const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
      const engine = Deno.env.get("SMOLDPO_ENGINE") ?? "deno";
      const words = ["--output", output, "--engine", engine, "--precision", "f32", "--no-cache"];
      const child = new Deno.Command(Deno.execPath(), {
        args: [
          ...["run", "--quiet", "--allow-all", main, "train"],
          // It would go on for hours, so that the interrupt comes in time however slow this process is.
          ...[...inputs, ...recipe, ...words, "--max-steps", 10_000_000, "--logging-steps", 1]
            .map(String),
        ],
        stdout: "null",
        stderr: "piped",
      }).spawn();
      let stderr = "";
      for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
        const before = /train \S+ 2\/10000000/.test(stderr);
        stderr += text;
        if (!before && /train \S+ 2\/10000000/.test(stderr)) child.kill("SIGINT");
      }
      const { code } = await child.status;
      assert.equal(code, 130, stderr);
      const [, done] = /interrupted after step (\d+)/.exec(stderr)!;
      assert.ok(Number(done) >= 2, `interrupted after step ${done}`);
      const names = (await Array.fromAsync(Deno.readDir(output))).map(({ name }) => name).sort();
      assert.deepEqual(names, ["begin.json", "checkpoints", "metrics.jsonl"], "no half of a model");

      const flags = [...inputs, ...recipe, "--max-steps", Number(done) + 3];
      const whole = `${directory}/whole`;
      await runOk("train", ...flags, "--output", whole);
      await runOk("train", ...flags, "--output", output, "--resume");
      assert.deepEqual(await readMetrics(output), await readMetrics(whole));
      assert.deepEqual(await readModel(output), await readModel(whole));
    }),
});
