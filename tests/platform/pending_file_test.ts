import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import { PendingFile } from "../../src/platform/pending_file.ts";

async function inDirectory(body: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempDir();
  try {
    await body(path);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

const names = async (path: string) =>
  (await Array.fromAsync(Deno.readDir(path))).map(({ name }) => name);

Deno.test("pending file: there when committed, in place of an older one, and alone", () =>
  inDirectory(async (path) => {
    const file = `${path}/a.jsonl`;
    await Deno.writeTextFile(file, "old");
    const long = "é".repeat(100_000);
    {
      await using pending = await PendingFile.create(file);
      await pending.write("one\n");
      await pending.write(long);
      assert.equal(await Deno.readTextFile(file), "old");
      await pending.commit();
    }
    assert.equal(await Deno.readTextFile(file), `one\n${long}`);
    assert.deepEqual(await names(path), ["a.jsonl"]);
  }));

Deno.test("pending file: gone when not committed", () =>
  inDirectory(async (path) => {
    const fail = async () => {
      await using pending = await PendingFile.create(`${path}/a.jsonl`);
      await pending.write("x".repeat(200_000));
      assert.equal((await names(path)).length, 1);
      throw new Error("on the way");
    };
    await assert.rejects(fail, /on the way/);
    assert.deepEqual(await names(path), []);
  }));

Deno.test("pending file: a missing folder is the user's to mend", () =>
  inDirectory(async (path) => {
    await assert.rejects(
      PendingFile.create(`${path}/none/a.jsonl`),
      (error) =>
        error instanceof UserError && /^Cannot write .*a\.jsonl: no such/.test(error.message),
    );
  }));
