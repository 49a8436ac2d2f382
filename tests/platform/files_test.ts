import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import { createDirectory, openDirectory } from "../../src/platform/files.ts";

async function inTemporaryFolder(test: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempDir();
  try {
    await test(path);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

function* chunks(...texts: string[]): Generator<Uint8Array<ArrayBuffer>> {
  for (const text of texts) yield new TextEncoder().encode(text);
}

Deno.test("files: written, listed, read whole and in parts", () =>
  inTemporaryFolder(async (path) => {
    const folder = await createDirectory(`${path}/a/b`);
    await folder.write("x", chunks("hello ", "", "world"));
    await folder.writeText("é.txt", "ü");
    await Deno.mkdir(`${path}/a/b/sub`);
    assert.deepEqual(await folder.list(), ["x", "é.txt"]);
    assert.equal(await folder.has("x"), true);
    assert.equal(await folder.has("y"), false);
    assert.equal(await folder.readText("x"), "hello world");

    const file = await folder.open("x");
    assert.equal(file.size, 11);
    const parts = await Promise.all([
      file.read(6, 5),
      file.read(0, 5),
      file.read(5, 1),
      file.read(11, 0),
    ]);
    assert.deepEqual(parts.map((part) => new TextDecoder().decode(part)), [
      "world",
      "hello",
      " ",
      "",
    ]);
    await assert.rejects(file.read(6, 6), /expected 6 bytes from byte 6 on, found 5/);
    assert.equal(
      new TextDecoder().decode(await file.read(0, 1)),
      "h",
      "usable after a failed read",
    );
    file.close();
  }));

Deno.test("files: a failed write leaves the old file and nothing else", () =>
  inTemporaryFolder(async (path) => {
    const folder = await createDirectory(path);
    await folder.writeText("x", "old");
    function* failing(): Generator<Uint8Array<ArrayBuffer>> {
      yield new Uint8Array(1000);
      throw Object.assign(new Error("No space left on device"), { code: "ENOSPC" });
    }
    await assert.rejects(folder.write("x", failing()), (error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, /Cannot write .*\/x: the disk is full/);
      return true;
    });
    assert.equal(await folder.readText("x"), "old");
    assert.deepEqual(await folder.list(), ["x"]);
  }));

Deno.test("files: errors name the path and what is wrong with it", () =>
  inTemporaryFolder(async (path) => {
    const folder = await createDirectory(path);
    await Deno.writeFile(`${path}/latin1`, Uint8Array.of(0xfc));
    await Deno.mkdir(`${path}/sub`);
    await assert.rejects(folder.readText("none"), /Cannot read .*\/none: no such file/);
    await assert.rejects(folder.open("none"), /Cannot open .*\/none: no such file/);
    await assert.rejects(folder.readText("latin1"), /latin1: expected UTF-8/);
    await assert.rejects(folder.readText("sub"), /expected a file, found a folder/);
    await assert.rejects(openDirectory(`${path}/none`), /none: no such file or folder/);
    await assert.rejects(openDirectory(`${path}/latin1`), /expected a folder, found a file/);
    await assert.rejects(createDirectory(`${path}/latin1`), /expected a folder, found a file/);
    await assert.rejects(createDirectory(`${path}/latin1/x`), /a part of the path is a file/);
  }));

Deno.test("files: only plain names, so that no name reaches outside the folder", async () => {
  const folder = await createDirectory("tests");
  for (const name of ["../x", "/etc/passwd", "a/b", "a\\b", "..", ".", "", "a\0"]) {
    await assert.rejects(folder.readText(name), RangeError, name);
    await assert.rejects(async () => await folder.write(name, []), RangeError, name);
  }
});
