/** Evaluation on the way, the best model at the end, stopping early. */
import assert from "node:assert/strict";
import type { StepSample } from "../../src/report/run_record.ts";
import { lackOfF16 } from "../kernels/harness.ts";
import { unless } from "../skip.ts";
import { inTemporaryDirectory, jsonLines, run, runOk } from "./command.ts";
import { readMetrics, readModel, writeInputs, writeModel } from "./inputs.ts";

const TRAIN = [
  ...["--max-pairs", 16, "--per-device-train-batch-size", 2, "--max-length", 96],
  ...["--eval-dataset", "fixtures/pairs/eval.jsonl[:4]"],
];

const train = (output: string, ...flags: (string | number)[]) =>
  runOk("train", ...TRAIN, "--output", output, ...flags);

const readSamples = async (path: string) =>
  jsonLines<StepSample>(await Deno.readTextFile(`${path}/samples.jsonl`));

const evaluations = async (path: string) =>
  (await readMetrics(path)).filter((line) => "eval_loss" in line);

Deno.test("train evaluates every n steps, changes no bit by it, and a resumed run has the same lines", () =>
  inTemporaryDirectory(async (directory) => {
    const evaluating = ["--eval-strategy", "steps", "--eval-steps", 3];
    await train(`${directory}/plain`, "--max-steps", 6);
    await train(`${directory}/whole`, "--max-steps", 6, ...evaluating, "--save-steps", 2);
    assert.deepEqual(await readModel(`${directory}/whole`), await readModel(`${directory}/plain`));
    const lines = await evaluations(`${directory}/whole`);
    assert.deepEqual(lines.map(({ step }) => step), [0, 3, 6]);
    assert.equal(lines[0].eval_kl, 0, "of the reference itself");
    assert.ok(lines[1].eval_kl > 0 && lines[2].eval_kl > lines[1].eval_kl);
    for (const name of ["mean_length", "clipped_ratio", "seq_rep_4"]) {
      assert.ok(`eval_completions/${name}` in lines[2], name);
    }
    const samples = await readSamples(`${directory}/whole`);
    assert.deepEqual(samples.map(({ step }) => step), [0, 0, 0, 3, 3, 3, 6, 6, 6]);
    for (const [i, { prompt, reference, policy }] of samples.entries()) {
      assert.deepEqual([prompt, reference], [samples[i % 3].prompt, samples[i % 3].policy]);
      assert.equal(typeof policy, "string");
    }
    const report = await Deno.readTextFile(`${directory}/whole/report.html`);
    assert.match(report, /<h2>Answers as training went on<\/h2>/);
    assert.match(report, /aria-label="KL from the reference, per token"/);
    const steps = (await readMetrics(`${directory}/whole`)).filter((line) =>
      !("eval_loss" in line)
    );
    const plain = (await readMetrics(`${directory}/plain`)).filter((line) =>
      !("eval_loss" in line)
    );
    assert.deepEqual(steps, plain);

    // From the checkpoint behind the evaluation of step 3.
    const from = `${directory}/whole/checkpoints/step-4`;
    await Deno.mkdir(`${directory}/again/checkpoints`, { recursive: true });
    for (const name of ["metrics.jsonl", "samples.jsonl"]) {
      await Deno.copyFile(`${directory}/whole/${name}`, `${directory}/again/${name}`);
    }
    await Deno.mkdir(`${directory}/again/checkpoints/step-4`);
    for await (const { name } of Deno.readDir(from)) {
      await Deno.copyFile(`${from}/${name}`, `${directory}/again/checkpoints/step-4/${name}`);
    }
    await train(`${directory}/again`, "--max-steps", 6, ...evaluating, "--resume");
    assert.deepEqual(
      await readMetrics(`${directory}/again`),
      await readMetrics(`${directory}/whole`),
    );
    assert.deepEqual(await readModel(`${directory}/again`), await readModel(`${directory}/whole`));
    assert.deepEqual(await readSamples(`${directory}/again`), samples);
  }));

Deno.test("the best evaluated model is saved, and a training that gets no better ends", () =>
  inTemporaryDirectory(async (directory) => {
    const evaluating = ["--eval-strategy", "steps", "--eval-steps", 1, "--learning-rate", 3e-3];
    const best = ["--load-best-model-at-end", "--early-stopping-patience", 2];
    const { stderr } = await train(`${directory}/best`, ...evaluating, ...best);
    const lines = await evaluations(`${directory}/best`);
    const losses = lines.slice(1).map(({ eval_loss }) => eval_loss);
    const at = losses.indexOf(Math.min(...losses)) + 1;
    assert.equal(lines.length, 1 + at + 2, "as far as the patience reaches");
    assert.ok(lines.length < 9, "before the planned end");
    assert.match(stderr, new RegExp(`stopped +after step ${at + 2}: eval_loss`));
    assert.match(stderr, new RegExp(`best +eval_loss .* after step ${at}: that model is saved`));

    await train(`${directory}/short`, "--learning-rate", 3e-3, "--max-steps", at);
    assert.deepEqual(await readModel(`${directory}/best`), await readModel(`${directory}/short`));
    const record = JSON.parse(await Deno.readTextFile(`${directory}/best/run.json`));
    assert.equal(record.bestStep, at);
  }));

Deno.test("held-out pairs are compared with the reference as it is: one that has become the model, and one on the way", () =>
  inTemporaryDirectory(async (directory) => {
    const evaluating = ["--eval-strategy", "steps", "--eval-steps", 2];
    const syncing = ["--sync-ref-model", "--ref-model-sync-steps", 4, "--learning-rate", 1e-3];
    const path = `${directory}/hard`;
    const hard = ["--ref-model-mixup-alpha", 1];
    const cache = ["--cache-dir", `${directory}/cache`, "--verbose"];
    const words = [...evaluating, ...syncing, ...hard, "--max-steps", 5, ...cache];
    const { stderr } = await train(path, ...words);
    assert.doesNotMatch(stderr, /reference scores|diagnosis +the loss is/);
    assert.match(
      stderr,
      /reference the model before training, mixed every 4 steps: 1 of the model, 0 of the reference/,
    );
    const lines = await evaluations(path);
    assert.deepEqual(lines.map(({ step }) => step), [0, 2, 4, 5]);
    assert.deepEqual(lines.map((line) => line.eval_kl === 0), [true, false, true, false]);
    assert.deepEqual(
      lines.map((line) => line["eval_rewards/margins"] === 0),
      [true, false, true, false],
    );
    const samples = await readSamples(path);
    const before = samples.filter(({ step }) => step === 2);
    const after = samples.filter(({ step }) => step === 4);
    for (const [i, { reference, policy }] of after.entries()) {
      assert.equal(reference, policy);
      assert.equal(before[i].reference, samples[i].policy, "not changed yet");
    }
    assert.ok(after.some(({ reference }, i) => reference !== before[i].reference), "it changed");
    const last = samples.filter(({ step }) => step === 5);
    assert.deepEqual(last.map((one) => one.reference), after.map((one) => one.reference));
    const record = JSON.parse(await Deno.readTextFile(`${path}/run.json`));
    assert.equal("suspectedFlips" in record.data[0].audit, false);
    const report = await Deno.readTextFile(`${path}/report.html`);
    assert.match(report, /<h2>Answers of the reference, mixed with the model so far/);
    assert.match(report, /<th scope="row">reference, step 4<\/th>/);

    // The best model goes with the reference that it was measured against.
    const best = ["--load-best-model-at-end", "--metric-for-best-model", "rewards/margins"];
    const chosen = `${directory}/best`;
    const told = await train(chosen, ...evaluating, ...syncing, ...hard, ...best, "--max-steps", 4);
    const { bestStep } = JSON.parse(await Deno.readTextFile(`${chosen}/run.json`));
    assert.equal(bestStep, 2, "the sync sets the margins back to 0");
    const printed = [...told.stderr.matchAll(/^reference {2}(.*)$/gm)].map(([, text]) => text);
    const oneLine = (text: string) => text.trim().replaceAll(/\s*\n\s*/g, " | ");
    assert.deepEqual(printed, before.map(({ reference }) => oneLine(reference)));
  }));

Deno.test("several held-out sets are evaluated under their names, and one of them chooses", () =>
  inTemporaryDirectory(async (directory) => {
    const { model, pairs, heldOut } = await writeInputs(directory, 8);
    const flags = (output: string) => [
      ...["--model", model, "--dataset", pairs, "--max-length", 64, "--output", output],
      ...["--eval-dataset", `easy=${pairs}[:3]`, "--eval-dataset", heldOut],
      ...["--per-device-train-batch-size", 4, "--num-train-epochs", 2, "--learning-rate", 1e-3],
      ...["--eval-strategy", "steps", "--eval-steps", 2],
    ];
    const choosing = ["--load-best-model-at-end", "--save-steps", 1];
    const path = `${directory}/run`;
    const { stderr } = await runOk(
      "train",
      ...flags(path),
      ...choosing,
      "--metric-for-best-model",
      "eval_held_out_loss",
    );
    assert.match(stderr, /held out +easy \(.*pairs\.jsonl\[:3\]\): 3 of 3 pairs/);
    assert.match(stderr, /held out +held_out \(/);
    const lines = (await readMetrics(path)).filter((line) => "eval_held_out_loss" in line);
    assert.deepEqual(lines.map(({ step }) => step), [0, 2, 4]);
    for (const line of lines) {
      assert.ok("eval_easy_loss" in line && !("eval_loss" in line));
      assert.ok("eval_easy_rewards/accuracies" in line);
    }
    // The same numbers as of a set alone.
    const alone = `${directory}/alone`;
    const withoutEasy = flags(alone).join(" ").replace(` --eval-dataset easy=${pairs}[:3]`, "");
    await runOk("train", ...withoutEasy.split(" "));
    const single = (await readMetrics(alone)).filter((line) => "eval_loss" in line);
    assert.deepEqual(
      single.map((line) => line.eval_loss),
      lines.map((line) => line.eval_held_out_loss),
    );
    const report = await Deno.readTextFile(`${path}/report.html`);
    assert.match(report, /easy_loss/);
    assert.match(report, /<tspan class="series-1" dx="12">easy<\/tspan>/);
    const record = JSON.parse(await Deno.readTextFile(`${path}/run.json`));
    assert.deepEqual(record.data.map(({ set }: { set?: string }) => set), [
      undefined,
      "easy",
      "held_out",
    ]);

    // Exactly what is measured is known before the first step, and nothing of a refused run is left.
    const refused = await run("train", ...flags(`${directory}/refused`), ...choosing);
    assert.equal(refused.code, 2);
    const [, names] = /^error: Expected --metric-for-best-model to be one of (.*), found "loss"\n$/m
      .exec(
        refused.stderr,
      )!;
    assert.deepEqual(
      names.split(", "),
      Object.keys(lines[0]).filter((name) => /^eval_/.test(name) && !name.endsWith("_ci95"))
        .map((name) => name.replace(/^eval_/, "")),
    );
    await assert.rejects(Deno.stat(`${directory}/refused`), Deno.errors.NotFound);
    const twice = await run(
      "train",
      ...flags(`${directory}/x`),
      "--eval-dataset",
      pairs,
      "--eval-dataset",
      pairs,
    );
    assert.equal(twice.code, 2);
    assert.match(twice.stderr, /several with a name each that no other has, such as NAME=PATH/);
  }));

for (const precision of ["f32", "f16"]) {
  Deno.test({
    ...unless(
      precision === "f16" ? lackOfF16 : null,
      `KL is that from a reference of its own: ${precision}`,
    ),
    fn: () =>
      inTemporaryDirectory(async (directory) => {
        const { model, pairs, heldOut } = await writeInputs(directory, 8);
        const other = await writeModel(`${directory}/reference`, undefined, 2);
        const klOf = async (name: string, ...flags: string[]) => {
          const output = `${directory}/${name}`;
          await runOk(
            "train",
            ...[
              "--model",
              model,
              "--dataset",
              pairs,
              "--eval-dataset",
              heldOut,
              "--output",
              output,
            ],
            ...["--max-length", 64, "--max-steps", 4, "--learning-rate", 1e-3],
            ...["--precision", precision, ...flags],
          );
          const lines = (await readMetrics(output)).filter((line) => "eval_kl" in line);
          return lines.map((line) => [line.eval_kl, line.eval_kl_ci95]);
        };
        const own = await klOf("own");
        assert.deepEqual(own[0], [0, 0]);
        assert.ok(own[1][0] > 0 && own[1][1] > 0);
        assert.deepEqual(await klOf("copy", "--reference", model), own);
        const [before] = await klOf("other", "--reference", other);
        assert.ok(before[0] > own[1][0] && before[1] > 0);
      }),
  });
}

Deno.test("options of evaluations that cannot be are refused before the first step", () =>
  inTemporaryDirectory(async (directory) => {
    const refused = async (message: RegExp, ...flags: string[]) => {
      const { code, stderr } = await run(
        "train",
        ...TRAIN,
        "--output",
        `${directory}/run`,
        ...flags,
      );
      assert.equal(code, 2, stderr);
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /^steps /m);
      await assert.rejects(Deno.stat(`${directory}/run`), Deno.errors.NotFound);
    };
    await refused(
      /--early-stopping-patience only with --eval-strategy/,
      "--early-stopping-patience",
      "2",
    );
    await refused(
      /--metric-for-best-model to be one of loss, .*, found "f1"/,
      ...["--eval-strategy", "epoch", "--metric-for-best-model", "f1"],
    );
    await refused(
      /--metric-for-best-model to be one of loss, .*, kl_mismatched, .*, found "length\/accuracies"/,
      ...["--loss-type", "kto", "--eval-strategy", "epoch"],
      ...["--metric-for-best-model", "length/accuracies"],
    );
    const { stderr } = await run(
      "train",
      "--dataset",
      "fixtures/pairs/eval.jsonl",
      "--eval-strategy",
      "epoch",
    );
    assert.match(stderr, /--eval-dataset with --eval-strategy epoch, found no held-out pairs/);
  }));

Deno.test("reduce_lr_on_plateau follows held-out measures, and a resumed run has the same bits", () =>
  inTemporaryDirectory(async (directory) => {
    const plateau = [
      ...["--lr-scheduler-type", "reduce_lr_on_plateau", "--lr-patience", 0, "--lr-factor", 0.5],
      ...["--eval-strategy", "steps", "--eval-steps", 1, "--metric-for-best-model", "kl"],
      ...["--max-steps", 6, "--save-steps", 1, "--learning-rate", 1e-4],
    ];
    const { stderr } = await train(`${directory}/whole`, ...plateau);
    assert.match(stderr, /best +the evaluation with the smallest eval_kl; --greater-is-better /);
    const lines = await readMetrics(`${directory}/whole`);
    const rates = lines.filter((line) => "learning_rate" in line).map((line) => line.learning_rate);
    const kl = lines.filter((line) => "eval_kl" in line && line.step > 0).map((line) =>
      line.eval_kl
    );
    // The first evaluation is the best one; a KL that grows is worse each time.
    const expected = [1e-4, 1e-4];
    for (let best = kl[0], i = 1; i < 5; i++) {
      const better = kl[i] < best * (1 - 1e-4);
      if (better) best = kl[i];
      expected.push(better ? expected.at(-1)! : expected.at(-1)! * 0.5);
    }
    assert.deepEqual(rates, expected);
    assert.ok(rates[5] < 1e-4);

    // Begins with a checkpoint and nothing else.
    await Deno.mkdir(`${directory}/again/checkpoints`, { recursive: true });
    await Deno.rename(
      `${directory}/whole/checkpoints/step-5`,
      `${directory}/again/checkpoints/step-5`,
    );
    await train(`${directory}/again`, ...plateau, "--resume");
    assert.deepEqual(await readModel(`${directory}/again`), await readModel(`${directory}/whole`));

    for (const command of ["train", "sft"]) {
      const { code, stderr } = await run(command, "--lr-scheduler-type", "reduce_lr_on_plateau");
      assert.equal(code, 2);
      assert.match(
        stderr,
        /^error: Expected --eval-strategy steps or epoch with --lr-scheduler-type /,
      );
    }
  }));
