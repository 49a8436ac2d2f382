import assert from "node:assert/strict";
import { DiskCache } from "../../src/platform/disk_cache.ts";
import { byteTokenizerFiles } from "../text/byte_tokenizer.ts";
import { type Answer, inTemporaryDirectory, runOk } from "./command.ts";
import { inputFlags, readModel, writeInputs, writeModel } from "./inputs.ts";

const STEPS = 4;
const recipe = [
  ...["--max-steps", STEPS, "--per-device-train-batch-size", 2, "--learning-rate", "1e-3"],
  ...["--train-layers", 1, "--head", "untied", "--verbose"],
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
      /pairs\.jsonl: of 6 rows, 6 of the dataset verified; /,
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

Deno.test("scores are those of the weights that were named, whatever lies beside them", () =>
  inTemporaryDirectory(async (path) => {
    const inputs = await writeInputs(path, 6);
    const both = await writeModel(`${path}/both`, {}, 5);
    await Deno.rename(`${both}/model.safetensors`, `${both}/a.safetensors`);
    await Deno.copyFile(`${inputs.model}/model.safetensors`, `${both}/b.safetensors`);
    const scores = async (reference: string) => {
      const output = ["--output", `${path}/${crypto.randomUUID()}`, "--cache-dir", `${path}/cache`];
      const words = [...inputFlags(inputs), ...recipe, ...output, "--reference", reference];
      return cacheLines(await runOk("train", ...words), "reference scores")[0];
    };
    assert.match(await scores(`${both}/a.safetensors`), /none yet/);
    assert.match(await scores(`${both}/b.safetensors`), /none yet/);
    assert.match(await scores(inputs.model), /6 of 6 pairs/, "the same weights under another name");
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
    const model = await writeModel(`${path}/model`);
    for (const [name, text] of Object.entries(byteTokenizerFiles(["a b"]))) {
      await Deno.writeTextFile(`${model}/${name}`, text);
    }
    const dataset = `${path}/rows.jsonl`;
    const rows = Array.from({ length: 40 }, (_, i) => ({
      prompt: `What is ${i}?`,
      chosen: `It is ${i}.`,
      rejected: "ab",
    }));
    await Deno.writeTextFile(dataset, rows.map((row) => JSON.stringify(row)).join("\n"));
    const tokens = async (command: string, ...flags: string[]) => {
      const output = ["--output", `${path}/${crypto.randomUUID()}`];
      const training = ["--max-steps", "1", "--batch-size", "1", "--verbose", ...output];
      const words = ["--model", model, "--dataset", dataset, "--cache-dir", `${path}/cache`];
      if (command !== "score") words.push(...training);
      return cacheLines(await runOk(command, ...words, ...flags), "tokens")[0];
    };
    assert.match(await tokens("train"), /none yet/);
    assert.match(await tokens("train"), /of 40 rows, 16 of the dataset verified/);
    assert.match(await tokens("train", "--dataset-num-proc", "2"), /of 40 rows/);
    assert.match(await tokens("train", "--tokenize", "joint"), /none yet/);
    assert.equal(await tokens("train", "--max-pairs", "5"), undefined);
    assert.match(await tokens("train", "--score", "all"), /none yet/);
    assert.match(await tokens("score"), /of 40 rows/, "which keeps the same rows");

    await Deno.writeTextFile(`${model}/tokenizer.json`, byteTokenizerFiles()["tokenizer.json"]);
    assert.match(await tokens("train"), /none yet/);
    await Deno.writeTextFile(dataset, '{"text": "What is for dinner?"}');
    assert.match(await tokens("sft"), /none yet/);
    assert.match(await tokens("sft"), /of 1 rows, 1 of the dataset verified/);
  }));
