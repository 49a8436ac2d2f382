import assert from "node:assert/strict";
import { DiskCache } from "../../src/platform/disk_cache.ts";
import { type Answer, inTemporaryDirectory, runOk } from "./command.ts";
import { inputFlags, readModel, writeInputs, writeModel } from "./inputs.ts";

const STEPS = 4;
const recipe = [
  ...["--max-steps", STEPS, "--per-device-train-batch-size", 2, "--learning-rate", "1e-3"],
  ...["--train-layers", 1, "--head", "untied"],
];

const cacheLines = ({ stderr }: Answer) =>
  stderr.split("\n").filter((line) => line.startsWith("cache "));

const names = async (path: string) =>
  (await Array.fromAsync(Deno.readDir(path))).map(({ name }) => name).sort();

/** All numbers that a run leaves. */
async function results(output: string) {
  return [await Deno.readTextFile(`${output}/metrics.jsonl`), await readModel(output)];
}

Deno.test("reference scores from the cache give the bits of a run without", () =>
  inTemporaryDirectory(async (path) => {
    const inputs = await writeInputs(path, 6);
    const caching = ["--cache-dir", `${path}/cache`];
    const train = (name: string, ...flags: (string | number)[]) =>
      runOk("train", ...inputFlags(inputs), ...recipe, "--output", `${path}/${name}`, ...flags);

    const without = await train("without");
    assert.deepEqual(cacheLines(without), []);
    const expected = await results(`${path}/without`);

    const first = await train("first", ...caching);
    assert.match(cacheLines(first)[0], /reference scores of .*pairs\.jsonl: none yet; /);
    assert.deepEqual(await results(`${path}/first`), expected);
    const entries = await names(`${path}/cache`);
    assert.equal(entries.length, 2, "one of each dataset");

    const second = await train("second", ...caching);
    const [trained, heldOut] = cacheLines(second);
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
      assert.match(cacheLines(run)[0], /: none yet; /, flags.join(" "));
    }
  }));

Deno.test("damaged and stale reference scores are said, ignored and replaced", () =>
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
    assert.equal(cacheLines(stale).length, 2);
    for (const line of cacheLines(stale)) {
      assert.match(line, /ignored, as scores computed again differ/);
    }
    assert.deepEqual(await results(`${path}/stale`), expected);

    for (const key of entries) {
      const bytes = await Deno.readFile(`${path}/cache/${key}`);
      bytes[40] ^= 1;
      await Deno.writeFile(`${path}/cache/${key}`, bytes);
    }
    const damaged = await train("damaged");
    assert.equal(cacheLines(damaged).filter((line) => line.includes("damaged")).length, 2);
    assert.deepEqual(await results(`${path}/damaged`), expected);

    const mended = await train("mended");
    assert.match(cacheLines(mended)[0], /6 of 6 pairs/);
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
    assert.match(cacheLines(empty)[0], /none yet/);
    assert.equal(await Deno.stat(`${path}/cache`).catch(() => null), null);
    await runOk(
      "train",
      ...[...inputFlags(inputs), ...recipe, "--output", `${path}/run`, ...caching],
    );
    const entries = await names(`${path}/cache`);
    const found = await evaluate(...caching);
    assert.match(cacheLines(found)[0], /of 3 of 3 pairs, 3 of them verified/);
    assert.equal(found.stdout, without.stdout);
    assert.deepEqual(await names(`${path}/cache`), entries);
  }));
