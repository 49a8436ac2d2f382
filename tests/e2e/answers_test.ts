/** Single answers with labels from the command line: trained on, held out, evaluated, kept. */
import assert from "node:assert/strict";
import { randomPairs } from "../model/small_models.ts";
import type { AnswerScore, PairScore } from "../../src/dpo/evaluate.ts";
import { inTemporaryDirectory, jsonLines, run, runOk } from "./command.ts";
import { readMetrics, writeAnswers, writeModel, writePairs } from "./inputs.ts";

Deno.test("KTO: held-out answers measure alike in train and eval, and scores of others are not taken for theirs", () =>
  inTemporaryDirectory(async (directory) => {
    const model = await writeModel(`${directory}/model`);
    const write = (name: string, seed: number, count: number) =>
      writeAnswers(`${directory}/${name}.jsonl`, randomPairs(seed, count, 113));
    const [answers, heldOut] = [await write("answers", 1, 8), await write("held-out", 2, 9)];
    const output = `${directory}/run`;
    const loss = ["--loss-type", "kto", "--max-length", 64];
    await runOk(
      "train",
      ...["--model", model, "--dataset", answers, "--eval-dataset", heldOut, "--output", output],
      ...[...loss, "--learning-rate", 1e-3, "--batch-size", 4, "--num-train-epochs", 4],
    );
    const metrics = await readMetrics(output);
    const [before, after] = [metrics[0], metrics.at(-1)!];
    assert.deepEqual([before.eval_loss, before["eval_rewards/accuracies"]], [0.5, 0.5]);
    assert.ok(after["eval_rewards/chosen"] !== 0);
    const { data } = JSON.parse(await Deno.readTextFile(`${output}/run.json`));
    assert.deepEqual(data.map(({ audit }: { audit: { good: number } }) => audit.good), [4, 5]);
    assert.equal("suspectedFlips" in data[0].audit, false, "nothing to be flipped");

    const against = ["--model", output, "--reference", model, "--dataset", heldOut, "--json"];
    const found = JSON.parse((await runOk("eval", ...against, ...loss)).stdout);
    const measured = Object.entries(after).filter(([name]) => name in found);
    assert.ok(measured.length >= 8);
    for (const [name, value] of measured) assert.equal(found[name], value, name);

    // What needs no answers of others has other scores in the cache.
    const cached = ["--cache-dir", `${directory}/cache`, "--batch-size", 4, "--max-steps", 2];
    const training = ["--model", model, "--dataset", answers, "--max-length", 64, ...cached];
    const run = async (type: string) => {
      const flags = [
        ...training,
        "--loss-type",
        type,
        "--output",
        `${directory}/${crypto.randomUUID()}`,
      ];
      return (await runOk("train", ...flags, "--verbose")).stderr;
    };
    const scores = (told: string, found: string) =>
      RegExp(`reference scores .*: ${found}`).test(told);
    assert.ok(scores(await run("kto"), "none yet"));
    assert.ok(scores(await run("apo_zero_unpaired"), "none yet"));
    assert.ok(scores(await run("kto"), "of 8 of 8 pairs, 4 of them verified"));
  }));

Deno.test("score: single answers have the numbers of the same answers in pairs, and rewards against a reference", () =>
  inTemporaryDirectory(async (directory) => {
    const model = await writeModel(`${directory}/model`);
    const reference = await writeModel(`${directory}/reference`, {}, 2);
    const all = randomPairs(1, 5, 113);
    const answers = await writeAnswers(`${directory}/answers.jsonl`, all);
    const pairs = await writePairs(`${directory}/pairs.jsonl`, all);
    const score = async <Score>(dataset: string, model: string, ...flags: (string | number)[]) => {
      const command = ["score", "--model", model, "--dataset", dataset, "--max-length", 64];
      const { stdout, stderr } = await runOk(...command as [string], ...flags);
      return { scores: jsonLines<Score>(stdout), stderr };
    };
    const { scores, stderr } = await score<AnswerScore>(answers, model);
    assert.match(stderr, /answers\.jsonl: 5 of 5 answers$/m);
    const { scores: ofPairs } = await score<PairScore>(pairs, model);
    assert.deepEqual(
      scores,
      ofPairs.map(({ index, chosen }, i) => ({ index, label: i % 2 === 0, completion: chosen })),
    );
    const against = ["--reference", reference, "--beta", 0.5];
    const { scores: rewarded } = await score<AnswerScore>(answers, model, ...against);
    const { scores: theirs } = await score<AnswerScore>(answers, reference);
    assert.deepEqual(
      rewarded,
      scores.map((score, i) => ({
        ...score,
        reward: 0.5 * (score.completion.sum - theirs[i].completion.sum),
      })),
    );
    const { scores: both } = await score<PairScore>(pairs, model, ...against);
    for (const [i, { chosen, rewards }] of both.entries()) {
      assert.equal(rewards!.chosen, rewarded[i].reward);
      assert.equal(rewards!.margin, rewards!.chosen - rewards!.rejected);
      assert.deepEqual(chosen, ofPairs[i].chosen);
    }
    const useless = await run("score", "--dataset", answers, "--beta", "0.5");
    assert.equal(useless.code, 2);
    assert.match(
      useless.stderr,
      /^error: Expected --beta only with a --reference, found no rewards/,
    );
    await Deno.writeTextFile(answers, '{"input_ids":[5,6]}\n', { append: true });
    const mixed = await run("score", "--model", model, "--dataset", answers);
    assert.equal(mixed.code, 2);
    assert.match(mixed.stderr, /line 6: expected "label" \(true or false\) beside a single answer/);
  }));

Deno.test("inspect --audit: single answers by their labels, and held-out ones against them", () =>
  inTemporaryDirectory(async (directory) => {
    const model = await writeModel(`${directory}/model`);
    const all = randomPairs(1, 6, 113);
    const answers = await writeAnswers(`${directory}/answers.jsonl`, [...all, all[1], all[2]]);
    const heldOut = await writeAnswers(`${directory}/held-out.jsonl`, all.slice(0, 1));
    const audit = ["inspect", "--audit", "--model", model, "--dataset", answers] as const;
    const { stdout } = await runOk(...audit, "--eval-dataset", heldOut);
    assert.match(stdout, /answers\.jsonl: 8 of 8 answers; token ids, each answer with a label$/m);
    // Row 6 is row 1 with another label, row 7 is row 2 with another one.
    assert.match(stdout, /contradictions +2 +rows 6, 7$/m);
    assert.match(stdout, /duplicates +0$/m);
    assert.match(stdout, /good +4$/m);
    assert.match(stdout, /^ {2}answers +8$/m);
    assert.match(stdout, /leaked answers +1 +rows 0$/m);
    const refused = await run(...audit, "--reference", model);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /^error: Expected pairs for --reference, .* found single answers/);
  }));
