/** The main job as a newcomer runs it: `deno task train`, with no flags but where to write. */
import assert from "node:assert/strict";
import { inTemporaryDirectory, jsonLines, runOk } from "./command.ts";

Deno.test("train without flags aligns the shipped model, and says so", () =>
  inTemporaryDirectory(async (directory) => {
    const output = `${directory}/run`;
    const { stderr } = await runOk("train", "--output", output);
    const lines = jsonLines<Record<string, number>>(
      await Deno.readTextFile(`${output}/metrics.jsonl`),
    );
    const [before, after] = [lines[0], lines.at(-1)!];
    assert.equal(before["eval_rewards/accuracies"], 0.5);
    assert.ok(after["eval_rewards/accuracies"] >= 0.95, "held-out reward accuracy");
    const helpful = [before["eval_answers/helpful"], after["eval_answers/helpful"]];
    assert.ok(helpful[0] >= 0.4 && helpful[0] <= 0.6, `helpful answers before: ${helpful[0]}`);
    assert.ok(helpful[1] >= 0.9, `helpful answers after: ${helpful[1]}`);
    const correct = [before["eval_answers/correct"], after["eval_answers/correct"]];
    assert.ok(
      correct[1] >= correct[0],
      `correct answers: ${correct[0]} before, ${correct[1]} after`,
    );

    const [header] = stderr.split(/^time /m);
    const labels = Array.from(header.matchAll(/^([a-z ]+?) {2,}/gm), ([, label]) => label);
    assert.deepEqual(
      labels.filter((label) => label !== "audit"),
      ["device", "model", "data", "held out", "loss", "memory", "steps", "output"],
    );
    assert.match(stderr, /^time +about \d+:\d\d for the 47 steps left$/m);
    assert.match(
      stderr,
      /^saved .*; held-out accuracy 0\.50 -> .*report\.html\nnext .* generate --model/m,
    );
    assert.doesNotMatch(stderr, /^(trained|encoding|tokens|self-check) /m);
    const all = JSON.parse(await Deno.readTextFile(`${output}/run.json`)).header.join("\n");
    for (const part of ["trained", "encoding", "tokens", "self-check loss ln 2"]) {
      assert.match(all, new RegExp(`^${part} `, "m"), `run.json has no line about ${part}`);
    }
    assert.equal(stderr.match(/^policy {5}/gm)?.length, 3, "three prompts answered");
    const files = Array.from(Deno.readDirSync(output), ({ name }) => name).sort();
    assert.deepEqual(files, [
      "README.md",
      "config.json",
      "generation_config.json",
      "metrics.jsonl",
      "model.safetensors",
      "report.html",
      "run.json",
      "samples.jsonl",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
  }));
