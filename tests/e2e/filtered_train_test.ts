import assert from "node:assert/strict";
import type { StepSample } from "../../src/report/run_record.ts";
import { randomPairs } from "../model/small_models.ts";
import { inTemporaryDirectory, jsonLines, run, runOk } from "./command.ts";
import { writeModel, writePairs } from "./inputs.ts";

const seed = ["--preset", "seed", "--max-steps", "1", "--per-device-train-batch-size", "2"];

const recordOf = async (output: string) =>
  JSON.parse(await Deno.readTextFile(`${output}/run.json`));

/** Shipped pairs that pass the filter: a short answer is rejected, which shares few words with the chosen one. */
async function shippedRows(split: "train" | "eval") {
  type Row = Record<"prompt" | "chosen" | "rejected", { role: string; content: string }[]>;
  const rows = jsonLines<Row>(await Deno.readTextFile(`fixtures/pairs/${split}.jsonl`));
  return rows.filter(({ rejected: [{ content }] }) => content.length < 15);
}

Deno.test("the seed preset trains on strong pairs alone, and the header and the record say so", () =>
  inTemporaryDirectory(async (path) => {
    const strong = (await shippedRows("train")).slice(0, 5);
    const weak = { ...strong[0], chosen: [{ role: "assistant", content: "I don't know." }] };
    const rows = [strong[0], weak, ...strong.slice(1)];
    const dataset = `${path}/rows.jsonl`;
    await Deno.writeTextFile(dataset, rows.map((row) => JSON.stringify(row)).join("\n"));
    const { stderr } = await runOk(
      "train",
      ...[...seed, "--dataset", dataset, "--output", `${path}/run`],
      ...["--min-chars", "off", "--max-pairs", "3"],
    );
    assert.match(stderr, /data .*: 3 of 4 pairs, 1 rejected by the filter/);
    assert.match(stderr, /the first 3 pairs, as --max-pairs asks; later rows are not read/);
    assert.match(
      stderr,
      /filter +3 of 4 pairs are strong, .*max-weak-phrases rejects 1, chosen is/,
    );
    const [data] = (await recordOf(`${path}/run`)).data;
    assert.equal(data.counts.filtered, 1);
    assert.equal(data.filter.rejected.maxWeakPhrases, 1);
    assert.equal(data.filter.limits.minChars, "off");
    assert.match(await Deno.readTextFile(`${path}/run/README.md`), /Filtered: 3 of 4 pairs/);
  }));

Deno.test("KTO takes strong pairs apart, and measures held-out answers of strong pairs by themselves", () =>
  inTemporaryDirectory(async (path) => {
    const strong = (await shippedRows("train")).slice(0, 4);
    const weak = { ...strong[0], chosen: [{ role: "assistant", content: "I don't know." }] };
    const write = async (name: string, rows: unknown[]) => {
      await Deno.writeTextFile(name, rows.map((row) => JSON.stringify(row)).join("\n"));
      return name;
    };
    const dataset = await write(`${path}/rows.jsonl`, [weak, ...strong]);
    const single = { prompt: weak.prompt, completion: weak.chosen, label: false };
    const flags = (heldOut: string, output: string) =>
      [
        ...["train", "--loss-type", "kto", "--filter", "strong", "--min-chars", "off"],
        ...["--dataset", dataset, "--eval-dataset", heldOut, "--output", `${path}/${output}`],
        ...["--max-steps", 1, "--per-device-train-batch-size", 4],
      ] as [string, ...(string | number)[]];
    const { stderr } = await runOk(...flags(dataset, "run"));
    assert.match(
      stderr,
      /data .*: 8 of 10 answers of 5 rows, 2 rejected by the filter, 4 pairs taken apart/,
    );
    assert.match(stderr, /filter +4 of 5 pairs are strong, max-weak-phrases rejects 1, /);
    assert.match(stderr, /filter .*: 8 measured by themselves too; 4 of 5 pairs are strong/);
    const metrics = jsonLines<Record<string, number>>(
      await Deno.readTextFile(`${path}/run/metrics.jsonl`),
    );
    assert.equal(metrics[0].eval_filtered_loss, 0.5);
    // Both answers of a pair have its prompt, which is asked once.
    const samples = jsonLines<StepSample>(await Deno.readTextFile(`${path}/run/samples.jsonl`));
    const asked = samples.filter(({ step }) => step === 0).map(({ prompt }) => prompt);
    assert.deepEqual([asked.length, new Set(asked).size], [3, 3]);
    const planned = await runOk(...flags(dataset, "planned"), "--max-pairs", 2, "--dry-run");
    assert.match(planned.stderr, /data .*: 4 of 6 answers of 3 rows, 2 rejected .*, 2 pairs taken/);
    assert.match(planned.stderr, /the first 2 pairs, as --max-pairs asks; later rows are not read/);
    // Of single answers nobody knows whether they are strong.
    const lone = await write(`${path}/lone.jsonl`, [single, { ...single, label: true }]);
    await runOk(...flags(lone, "lone"));
    const { data } = await recordOf(`${path}/lone`);
    assert.deepEqual([data[1].counts.kept, data[1].filter.pairs], [2, 0]);
  }));

Deno.test("token ids have no text: the preset's filter says that it is not applied, --filter strong refuses", () =>
  inTemporaryDirectory(async (path) => {
    const model = await writeModel(`${path}/model`);
    const dataset = await writePairs(`${path}/pairs.jsonl`, randomPairs(1, 4, 113, 30));
    const words = [...seed, "--model", model, "--dataset", dataset, "--output", `${path}/run`];
    const refused = await run("train", ...words, "--filter", "strong");
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /expected text or messages, found token ids/);
    const { stderr } = await runOk("train", ...words);
    assert.match(stderr, /filter +not applied: 4 pairs of token ids have no text/);
    const { data, options } = await recordOf(`${path}/run`);
    assert.equal(data[0].filter.withoutText, 4);
    assert.equal(options.filter, "strong");
  }));

Deno.test("the shipped pairs are not filtered by the preset, which the header says", () =>
  inTemporaryDirectory(async (path) => {
    const heldOut = `${path}/eval.jsonl`;
    const rows = (await Deno.readTextFile("fixtures/pairs/eval.jsonl")).split("\n").slice(0, 2);
    await Deno.writeTextFile(heldOut, rows.join("\n"));
    const words = [...seed, "--max-pairs", "4", "--eval-dataset", heldOut];
    const { stderr } = await runOk("train", ...words, "--output", `${path}/run`);
    assert.match(stderr, /filter +none: the shipped pairs are shorter/);
    assert.match(stderr, /data .*: 4 of 4 pairs/);
  }));

Deno.test("held-out pairs are measured as they are, and the strong among them once more", () =>
  inTemporaryDirectory(async (path) => {
    const strong = (await shippedRows("eval")).slice(0, 4);
    const weak = strong.map((row) => ({
      ...row,
      chosen: [{ role: "assistant", content: "I don't know." }],
    }));
    const write = async (name: string, rows: unknown[]) => {
      await Deno.writeTextFile(name, rows.map((row) => JSON.stringify(row)).join("\n"));
      return name;
    };
    const heldOut = await write(`${path}/eval.jsonl`, [weak[0], strong[1], weak[2], strong[3]]);
    const alone = await write(`${path}/strong.jsonl`, [strong[1], strong[3]]);
    const flags = ["--filter", "strong", "--min-chars", "off", "--max-overlap", "off"];
    const words = [...seed, ...flags, "--dataset", alone];
    const measure = async (heldOut: string, output: string) => {
      const { stderr } = await runOk(
        "train",
        ...[...words, "--eval-dataset", heldOut, "--output", `${path}/${output}`],
      );
      const metrics = await Deno.readTextFile(`${path}/${output}/metrics.jsonl`);
      return { stderr, after: jsonLines<Record<string, number>>(metrics).at(-1)! };
    };
    const both = await measure(heldOut, "both");
    const plain = await measure(alone, "plain");
    assert.match(both.stderr, /filter .*eval\.jsonl: 2 measured by themselves too; 2 of 4 pairs/);
    assert.match(both.stderr, /^filtered_rewards\/accuracies /m);
    const names = Object.keys(plain.after).filter((name) =>
      /^eval_(?!answers|kl|completions)/.test(name)
    );
    assert.ok(names.length >= 8);
    for (const name of names) {
      const filtered = both.after[name.replace("eval_", "eval_filtered_")];
      assert.ok(Math.abs(filtered - plain.after[name]) < 1e-5, name);
    }
    assert.notEqual(both.after.eval_loss, both.after.eval_filtered_loss);
    // Where all are strong there is nothing to tell apart.
    assert.ok(!("eval_filtered_loss" in plain.after));
    assert.match(plain.stderr, /filter .*strong\.jsonl: 2 of 2 pairs are strong/);
    const card = await Deno.readTextFile(`${path}/both/README.md`);
    assert.match(card, /\| filtered\\_loss \|/);
    assert.match(card, /Measured without the filter and with it: 2 of 4 pairs/);
    assert.match(await Deno.readTextFile(`${path}/both/report.html`), /filter: 2 of 4 pairs/);
  }));
