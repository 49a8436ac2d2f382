import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import type { FileReader } from "../../src/formats/files.ts";
import { countParquetRows, readParquet } from "../../src/formats/parquet.ts";
import { CODECS, parquetFile } from "../data/parquet_files.ts";

/** A file in memory that knows how many of its bytes were asked for. */
function fileOf(bytes: Uint8Array<ArrayBuffer>): FileReader & { bytesRead: number } {
  return {
    name: "a.parquet",
    size: bytes.length,
    bytesRead: 0,
    read(offset, length) {
      this.bytesRead += length;
      if (offset < 0 || offset + length > bytes.length) {
        return Promise.reject(new UserError("Cannot read a.parquet: expected more bytes"));
      }
      return Promise.resolve(bytes.slice(offset, offset + length));
    },
    close() {},
  };
}

const rowsOf = (bytes: Uint8Array<ArrayBuffer>) =>
  Array.fromAsync(readParquet(fileOf(bytes), "a.parquet"));

Deno.test("parquet: every codec, several row groups", async () => {
  const rows = Array.from({ length: 7 }, (_, n) => ({ n, text: `row ${n} ü\n`.repeat(50) }));
  for (const codec of CODECS) {
    assert.deepEqual(await rowsOf(parquetFile(rows, { rowGroupSize: 3, codec })), rows, codec);
  }
});

// Written by pyarrow 25 with zstd and two rows to a group.
Deno.test("parquet: nested messages and 64-bit numbers from another writer", async () => {
  const bytes = await Deno.readFile(new URL("../data/messages.parquet", import.meta.url));
  assert.equal(await countParquetRows(fileOf(bytes), "a.parquet"), 5);
  const expected = Array.from({ length: 5 }, (_, i) => ({
    prompt: `q${i}`,
    chosen: [{ role: "user", content: `q${i}` }, { role: "assistant", content: `yes ${i} ü` }],
    rejected: [{ role: "user", content: `q${i}` }, { role: "assistant", content: "no" }],
    score_chosen: 8.5 - i,
    n: i + 2 ** 40,
  }));
  assert.deepEqual(await rowsOf(bytes), expected);
});

Deno.test("parquet: the first rows are there before the file has been read", async () => {
  const rows = Array.from(
    { length: 1000 },
    (_, n) => ({ text: crypto.randomUUID().repeat(50) + n }),
  );
  const file = fileOf(parquetFile(rows, { rowGroupSize: 10, codec: "UNCOMPRESSED" }));
  for await (const row of readParquet(file, "a.parquet")) {
    assert.equal(row.text, rows[0].text);
    break;
  }
  assert.ok(file.bytesRead < file.size / 2, `read ${file.bytesRead} of ${file.size} bytes`);
});

Deno.test("parquet: what is damaged is the user's to mend, wherever the damage is", async () => {
  const rows = Array.from({ length: 40 }, (_, n) => ({ n, text: `row ${n}` }));
  const whole = parquetFile(rows, { rowGroupSize: 10, codec: "ZSTD" });
  const refused = (bytes: Uint8Array<ArrayBuffer>) =>
    assert.rejects(rowsOf(bytes), (error) => {
      assert.ok(error instanceof UserError, `${error}`);
      return true;
    });
  await refused(new Uint8Array());
  await refused(new TextEncoder().encode("PAR1"));
  await refused(new TextEncoder().encode('{"n": 1}\n{"n": 2}\n'));
  for (const length of [whole.length - 1, whole.length - 8, whole.length >> 1, 12]) {
    await refused(whole.slice(0, length));
  }
  // A flipped byte is either found or changes a value; it never escapes as another kind of error.
  for (let i = 0; i < whole.length; i++) {
    const bytes = whole.slice();
    bytes[i] ^= 0x55;
    await rowsOf(bytes).catch((error) => assert.ok(error instanceof UserError, `${i}: ${error}`));
  }
});
