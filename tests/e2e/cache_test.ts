import assert from "node:assert/strict";
import { DiskCache } from "../../src/platform/disk_cache.ts";
import { type Answer, inTemporaryDirectory, runOk } from "./command.ts";
import { inputFlags, readModel, writeInputs, writeModel } from "./inputs.ts";

const STEPS = 4;
const recipe = [
  ...["--max-steps", STEPS, "--per-device-train-batch-size", 2, "--learning-rate", "1e-3"],
  ...["--train-layers", 1, "--head", "untied"],
];

const cacheLines = ({ stderr }: Answer, about = "") =>
  stderr.split("\n").filter((line) => line.startsWith("cache ") && line.includes(about));

const names = async (path: string) =>
  (await Array.fromAsync(Deno.readDir(path))).map(({ name }) => name).sort();

/** All numbers that a run leaves. */
async function results(output: string) {
  return [await Deno.readTextFile(`${output}/metrics.jsonl`), await readModel(output)];
}

Deno.test("tokens and reference scores from the cache give the bits of a run without", () =>
  inTemporaryDirectory(async (path) => {
    const inputs = await writeInputs(path, 6);
    const caching = ["--cache-dir", `${path}/cache`];
    const train = (name: string, ...flags: (string | number)[]) =>
      runOk("train", ...inputFlags(inputs), ...recipe, "--output", `${path}/${name}`, ...flags);

    const without = await train("without");
    assert.deepEqual(cacheLines(without), []);
    const expected = await results(`${path}/without`);

    const first = await train("first", ...caching);
    assert.equal(cacheLines(first, ": none yet; ").length, 4);
    assert.deepEqual(await results(`${path}/first`), expected);
    const entries = await names(`${path}/cache`);
    assert.equal(entries.length, 4, "tokens and scores of each dataset");

    const second = await train("second", ...caching);
    assert.match(
      cacheLines(second, "tokens")[0],
      /pairs\.jsonl: of 6 rows, the first 6 of them verified; /,
    );
    const [trained, heldOut] = cacheLines(second, "reference scores");
    assert.match(trained, /pairs\.jsonl: of 6 of 6 pairs, 4 of them verified; /);
    assert.match(heldOut, /held_out\.jsonl: of 3 of 3 pairs, 3 of them verified; /);
    assert.deepEqual(await results(`${path}/second`), expected);
    assert.deepEqual(await names(`${path}/cache`), entries);

    const off = await train("off", ...caching, "--no-cache");
    assert.deepEqual(cacheLines(off), []);

    // Other weights, other tokens, other scores: other entries.
    const other = await writeModel(`${path}/other`, {}, 5);
    const changed: (string | number)[][] = [
      ["--reference", other],
      ["--logprob", "mean"],
      ["--max-length", 20, "--max-truncated-share", 1],
    ];
    for (const [i, flags] of changed.entries()) {
      const run = await train(`changed-${i}`, ...caching, ...flags);
      assert.match(cacheLines(run, "reference scores")[0], /: none yet; /, flags.join(" "));
    }
  }));

Deno.test("damaged and stale entries are said, ignored and replaced", () =>
  inTemporaryDirectory(async (path) => {
    const inputs = await writeInputs(path, 6);
    const train = (name: string) =>
      runOk(
        "train",
        ...[...inputFlags(inputs), ...recipe, "--output", `${path}/${name}`],
        ...["--cache-dir", `${path}/cache`],
      );
    await train("first");
    const expected = await results(`${path}/first`);
    const cache = new DiskCache(`${path}/cache`, "write", (line) => assert.fail(line));
    const entries = await names(`${path}/cache`);

    // Whole entries with other numbers: what a program that computes otherwise would have left.
    for (const key of entries) {
      const bytes = (await cache.get(key))!.slice();
      const scores = new Float32Array(bytes.buffer).subarray(-1);
      scores[0] += 1e-3;
      await cache.put(key, [bytes]);
    }
    const stale = await train("stale");
    assert.equal(cacheLines(stale, "ignored, as scores computed again differ").length, 2);
    assert.equal(cacheLines(stale, "ignored, as rows encoded again differ").length, 2);
    assert.deepEqual(await results(`${path}/stale`), expected);

    for (const key of entries) {
      const bytes = await Deno.readFile(`${path}/cache/${key}`);
      bytes[40] ^= 1;
      await Deno.writeFile(`${path}/cache/${key}`, bytes);
    }
    const damaged = await train("damaged");
    assert.equal(cacheLines(damaged, "damaged").length, 4);
    assert.deepEqual(await results(`${path}/damaged`), expected);

    const mended = await train("mended");
    assert.match(cacheLines(mended, "reference scores")[0], /6 of 6 pairs/);
    assert.match(cacheLines(mended, "tokens")[0], /of 6 rows/);
    assert.deepEqual(await results(`${path}/mended`), expected);
  }));

Deno.test("eval reads the cache and leaves it as it is", () =>
  inTemporaryDirectory(async (path) => {
    const inputs = await writeInputs(path, 6);
    const policy = await writeModel(`${path}/policy`, {}, 5);
    const caching = ["--cache-dir", `${path}/cache`];
    const evaluate = (...flags: string[]) =>
      runOk(
        "eval",
        ...["--model", policy, "--reference", inputs.model, "--dataset", inputs.heldOut],
        ...["--json", ...flags],
      );
    const without = await evaluate();
    const empty = await evaluate(...caching);
    assert.equal(cacheLines(empty, "none yet").length, 2);
    assert.equal(await Deno.stat(`${path}/cache`).catch(() => null), null);
    await runOk(
      "train",
      ...[...inputFlags(inputs), ...recipe, "--output", `${path}/run`, ...caching],
    );
    const entries = await names(`${path}/cache`);
    const found = await evaluate(...caching);
    assert.match(cacheLines(found, "reference scores")[0], /of 3 of 3 pairs, 3 of them verified/);
    assert.equal(found.stdout, without.stdout);
    assert.deepEqual(await names(`${path}/cache`), entries);
  }));

Deno.test("tokens are looked up by rows, tokenizer and options; sft and score look, too", () =>
  inTemporaryDirectory(async (path) => {
    const dataset = `${path}/rows.jsonl`;
    const rows = (await Deno.readTextFile("fixtures/pairs/train.jsonl")).split("\n").slice(0, 40);
    await Deno.writeTextFile(dataset, rows.join("\n"));
    const caching = ["--cache-dir", `${path}/cache`];
    const sft = ["--max-steps", "1", "--learning-rate", "1e-6", "--batch-size", "1"];
    const texts = `${path}/texts.jsonl`;
    await Deno.writeTextFile(texts, '{"text": "What is for dinner?"}\n');
    for (
      const found of [/tokens of .*: none yet/, /tokens of .*: of 1 rows, the first 1 of them/]
    ) {
      const output = `${path}/sft-${crypto.randomUUID()}`;
      const { stderr } = await runOk(
        "sft",
        ...sft,
        "--dataset",
        texts,
        "--output",
        output,
        ...caching,
      );
      assert.match(stderr, found);
    }

    const train = async (...flags: string[]) => {
      const output = `${path}/${crypto.randomUUID()}`;
      const batch = ["--max-steps", "1", "--batch-size", "1"];
      const words = ["--dataset", dataset, "--output", output, ...batch, ...caching, ...flags];
      return cacheLines(await runOk("train", ...words), "tokens")[0];
    };
    assert.match(await train(), /none yet/);
    assert.match(await train(), /of 40 rows, the first 16 of them verified/);
    assert.match(await train("--tokenize", "joint"), /none yet/);
    assert.match(await train("--dataset-num-proc", "2"), /of 40 rows/);
    assert.equal(await train("--max-pairs", "5"), undefined);
    const scored = (...flags: string[]) =>
      runOk("score", "--dataset", dataset, "--max-length", "512", ...flags);
    const score = await scored(...caching);
    assert.match(score.stderr, /tokens of .*: none yet/, "score keeps rows that train drops");
    assert.equal(score.stdout, (await scored()).stdout);

    await Deno.writeTextFile(dataset, [...rows, rows[0]].join("\n"));
    assert.match(await train(), /none yet/);
  }));
