import assert from "node:assert/strict";
import { DiskCache, hashDirectory, hashFiles } from "../../src/platform/disk_cache.ts";
import { inTemporaryDirectory } from "../e2e/command.ts";
import { MemoryDirectory } from "../formats/memory_directory.ts";

const bytes = Uint8Array.of(1, 2, 3), more = Uint8Array.of(4);

const names = async (path: string) =>
  (await Array.fromAsync(Deno.readDir(path))).map(({ name }) => name).sort();

Deno.test("disk cache: what was put is got, under its key alone", () =>
  inTemporaryDirectory(async (path) => {
    const said: string[] = [];
    const cache = new DiskCache(`${path}/a/b`, "write", (line) => said.push(line));
    assert.equal(await cache.get("k"), null);
    await cache.put("k", [bytes, more]);
    assert.deepEqual([...(await cache.get("k"))!], [1, 2, 3, 4]);
    assert.equal(await cache.get("l"), null);
    await cache.put("k", []);
    assert.deepEqual([...(await cache.get("k"))!], []);
    assert.deepEqual(await names(`${path}/a/b`), ["k"]);
    assert.deepEqual(said, []);
  }));

Deno.test("disk cache: any damage is noticed, said, and mended by the next entry", () =>
  inTemporaryDirectory(async (path) => {
    const said: string[] = [];
    const cache = new DiskCache(path, "write", (line) => said.push(line));
    await cache.put("k", [bytes]);
    const whole = await Deno.readFile(`${path}/k`);
    const broken = [
      ...Array.from(whole, (_, i) => whole.map((byte, j) => i === j ? byte ^ 1 : byte)),
      ...Array.from(whole, (_, i) => whole.slice(0, i)),
      Uint8Array.from([...whole, 0]),
    ];
    for (const content of broken) {
      await Deno.writeFile(`${path}/k`, content);
      assert.equal(await cache.get("k"), null);
    }
    assert.equal(said.length, broken.length);
    assert.ok(said.every((line) => line === `damaged, so ignored: ${path}/k`));
    await cache.put("k", [bytes]);
    assert.deepEqual(await cache.get("k"), bytes);
  }));

Deno.test("disk cache: a place that cannot be written to is said and no error; read access writes nothing", () =>
  inTemporaryDirectory(async (path) => {
    await Deno.writeTextFile(`${path}/file`, "");
    const said: string[] = [];
    await new DiskCache(`${path}/file`, "write", (line) => said.push(line)).put("k", [bytes]);
    assert.equal(said.length, 1);
    assert.match(said[0], /^not written: Cannot create .*file/);
    await new DiskCache(`${path}/none`, "read", (line) => said.push(line)).put("k", [bytes]);
    assert.equal(said.length, 1);
    assert.deepEqual(await names(path), ["file"]);
  }));

Deno.test("disk cache: what a killed process left goes, what another one writes stays", () =>
  inTemporaryDirectory(async (path) => {
    await Deno.writeTextFile(`${path}/.tmp-old`, "");
    await Deno.writeTextFile(`${path}/.tmp-new`, "");
    const yesterday = new Date(Date.now() - 25 * 3600 * 1000);
    await Deno.utime(`${path}/.tmp-old`, yesterday, yesterday);
    await new DiskCache(path, "write", () => {}).put("k", [bytes]);
    assert.deepEqual(await names(path), [".tmp-new", "k"]);
  }));

Deno.test("hashDirectory: depends on names and bytes of the chosen files", async () => {
  const hash = (files: Record<string, string>) =>
    hashDirectory(new MemoryDirectory(files), (name) => name.endsWith(".json"));
  const one = await hash({ "a.json": "x", "b.json": "y", "c.txt": "z" });
  assert.equal(await hash({ "b.json": "y", "a.json": "x" }), one);
  const others: Record<string, string>[] = [
    { "a.json": "x" },
    { "a.json": "x", "b.json": "z" },
    { "a.json": "xy", "b.json": "" },
    { "a.json": "x", "c.json": "y" },
  ];
  const hashes = await Promise.all(others.map(hash));
  assert.equal(new Set([one, ...hashes]).size, 5);
});

Deno.test("hashFiles: depends on where one file ends and the next begins, not on names", async () => {
  const hash = async (...texts: string[]) => {
    const names = texts.map((_, i) => `${i}-${crypto.randomUUID()}`);
    const directory = new MemoryDirectory(
      Object.fromEntries(names.map((name, i) => [name, texts[i]])),
    );
    return await hashFiles(await Promise.all(names.map((name) => directory.open(name))));
  };
  assert.equal(await hash("ab", "c"), await hash("ab", "c"));
  const hashes = [
    await hash("ab", "c"),
    await hash("a", "bc"),
    await hash("c", "ab"),
    await hash("abc"),
  ];
  assert.equal(new Set(hashes).size, 4);
});
