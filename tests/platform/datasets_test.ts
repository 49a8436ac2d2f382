import assert from "node:assert/strict";
import { readRows } from "../../src/data/rows.ts";
import { UserError } from "../../src/errors.ts";
import type { SplitChoice } from "../../src/data/source.ts";
import { openDataset } from "../../src/platform/datasets.ts";
import { parquetFile } from "../data/parquet_files.ts";
import { inTemporaryDirectory } from "../e2e/command.ts";

async function read(argument: string, choice?: SplitChoice): Promise<unknown[]> {
  const rows = await Array.fromAsync(readRows(await openDataset(argument, choice)));
  return rows.map(({ value }) => value.n);
}

Deno.test("datasets: files, folders, patterns, splits, slices and mixtures of them", () =>
  inTemporaryDirectory(async (path) => {
    await Deno.mkdir(`${path}/hub/data`, { recursive: true });
    await Deno.mkdir(`${path}/hub/.cache`);
    const write = (file: string, ...numbers: number[]) =>
      Deno.writeTextFile(`${path}/${file}`, numbers.map((n) => `{"n": ${n}}\n`).join(""));
    await write("a.jsonl", 1, 2);
    await write("b.jsonl", 3);
    await write("hub/.cache/train.jsonl", 99);
    await Deno.writeTextFile(`${path}/hub/README.md`, "no rows");
    const shard = async (name: string, ...numbers: number[]) =>
      await Deno.writeFile(`${path}/hub/data/${name}`, parquetFile(numbers.map((n) => ({ n }))));
    await shard("train-00001-of-00002.parquet", 12, 13);
    await shard("train-00000-of-00002.parquet", 10, 11);
    await shard("test-00000-of-00001.parquet", 20);

    assert.deepEqual(await read(`${path}/b.jsonl`), [3]);
    assert.deepEqual(await read(`${path}/*.jsonl`), [1, 2, 3]);
    assert.deepEqual(await read(`${path}/hub`), [10, 11, 12, 13]);
    assert.deepEqual(await read(`${path}/hub/`, { split: null, preferred: "test" }), [20]);
    assert.deepEqual(await read(`${path}/hub`, { split: "test", preferred: "train" }), [20]);
    assert.deepEqual(await read(`${path}/hub:train[1:3]`), [11, 12]);
    assert.deepEqual(await read(`${path}/hub/data/*.parquet`), [20, 10, 11, 12, 13]);
    assert.deepEqual(await read(`${path}/hub/data/*.parquet:test`), [20]);
    assert.deepEqual(await read(`${path}/hub[-50%:],${path}/a.jsonl[:1]`), [12, 13, 1]);

    const refused: [string, RegExp][] = [
      [`${path}/c.jsonl`, /c.jsonl: no such file or folder/],
      [`${path}/*.csv`, /expected files ending in .jsonl/],
      [`${path}/hub:validation`, /expected a split "validation", found test, train/],
    ];
    for (const [argument, message] of refused) {
      await assert.rejects(openDataset(argument), (error) => {
        assert.ok(error instanceof UserError);
        assert.match(error.message, message);
        return true;
      });
    }
  }));

Deno.test("datasets: of the hub's cache, whole or a folder of it", () =>
  inTemporaryDirectory(async (path) => {
    const commit = "a".repeat(40);
    const repo = `${path}/datasets--org--name`;
    await Deno.mkdir(`${repo}/snapshots/${commit}/harmless`, { recursive: true });
    await Deno.mkdir(`${repo}/blobs`);
    await Deno.mkdir(`${repo}/refs`);
    await Deno.writeTextFile(`${repo}/refs/main`, commit);
    await Deno.writeTextFile(`${repo}/blobs/1`, '{"n": 1}\n{"n": 2}\n');
    await Deno.writeTextFile(`${repo}/blobs/2`, '{"n": 3}\n');
    const link = (blob: string, name: string) =>
      Deno.symlink(`${repo}/blobs/${blob}`, `${repo}/snapshots/${commit}/${name}`);
    await link("1", "train.jsonl");
    await link("2", "harmless/test.jsonl");
    Deno.env.set("HF_HUB_CACHE", path);
    try {
      assert.deepEqual(await read("org/name"), [1, 2]);
      assert.deepEqual(await read(`org/name@${commit}:test`), [3]);
      assert.deepEqual(await read("org/name/harmless[:1]"), [3]);
      assert.deepEqual(await read("org/name/tr*.jsonl:train[1:]"), [2]);
      await assert.rejects(
        openDataset("org/other:train"),
        /deno task download --dataset org\/other"/,
      );
    } finally {
      Deno.env.delete("HF_HUB_CACHE");
    }
  }));

Deno.test("datasets: a card says which files are which split of which configuration", () =>
  inTemporaryDirectory(async (path) => {
    await Deno.mkdir(`${path}/one`);
    await Deno.mkdir(`${path}/two`);
    await Deno.writeTextFile(
      `${path}/README.md`,
      "---\nconfigs:\n- config_name: first\n  default: true\n  data_files:\n  - {split: train, path: one/p*}\n" +
        "  - {split: test, path: one/q.jsonl}\n- config_name: second\n  data_dir: two\n---\n",
    );
    for (const [i, name] of ["one/p1", "one/p2", "one/q", "one/unnamed", "two/train"].entries()) {
      await Deno.writeTextFile(`${path}/${name}.jsonl`, `{"n": ${i}}\n`);
    }
    assert.deepEqual(await read(path), [0, 1]);
    assert.deepEqual(await read(`${path}:test`), [2]);
    const second = { config: "second", split: null, preferred: "train" };
    assert.deepEqual(await read(path, second), [4]);
    await assert.rejects(
      read(`${path}:validation`),
      /expected a split "validation", found train, test/,
    );
    await assert.rejects(read(path, { ...second, config: "third" }), /configuration "third"/);
    // Files that are named go before what the card says.
    assert.deepEqual(await read(`${path}/one/*.jsonl`), [0, 1, 2, 3]);
  }));
