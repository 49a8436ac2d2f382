import assert from "node:assert/strict";
import { type Dataset, type DatasetRow, readRows, type RowLimits } from "../../src/data/rows.ts";
import { UserError } from "../../src/errors.ts";
import { openDataset } from "../../src/platform/files.ts";
import { collect, MemoryDirectory } from "../formats/memory_directory.ts";

const limits: RowLimits = {
  maxLineLength: 100,
  maxJsonBytes: 100,
  freeInflatedBytes: 10_000,
  maxInflation: 50,
};

function gzip(content: string | Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return collect(new Blob([content]).stream().pipeThrough(new CompressionStream("gzip")));
}

function dataset(files: Record<string, string | Uint8Array<ArrayBuffer>>): Dataset {
  return { directory: new MemoryDirectory(files) };
}

async function rejects(source: Dataset, message: RegExp): Promise<void> {
  await assert.rejects(Array.fromAsync(readRows(source, limits)), (error) => {
    assert.ok(error instanceof UserError, `${error}`);
    assert.match(error.message, message);
    return true;
  });
  assert.equal((source.directory as MemoryDirectory).openFiles, 0);
}

const values = (rows: DatasetRow[]) => rows.map(({ value }) => value.n);

Deno.test("rows: every kind of file, in the order of names", async () => {
  const rows = await Array.fromAsync(readRows(dataset({
    "c.json": '[{"n": 5}, {"n": 6}]',
    "b.jsonl.gz": await gzip('{"n": 3}\n{"n": 4}\n'),
    "a.jsonl": '\ufeff{"n": 1}\r\n\n  \n{"n": 2}',
    "README.md": "no rows",
  })));
  assert.deepEqual(values(rows), [1, 2, 3, 4, 5, 6]);
  assert.deepEqual(rows.map(({ where }) => where), [
    "memory/a.jsonl, line 1",
    "memory/a.jsonl, line 4",
    "memory/b.jsonl.gz, line 1",
    "memory/b.jsonl.gz, line 2",
    "memory/c.json, row 1",
    "memory/c.json, row 2",
  ]);
});

Deno.test("rows: the files that were asked for, and no others", async () => {
  const { directory } = dataset({ "a.jsonl": '{"n":1}', "b.jsonl": '{"n":2}' });
  assert.deepEqual(values(await Array.fromAsync(readRows({ directory, files: ["b.jsonl"] }))), [2]);
});

Deno.test("rows: lines longer than a chunk of the file, and letters cut by its end", async () => {
  const long = "é".repeat(3 << 20);
  const text = `{"n": 1, "x": "${long}"}\n{"n": "ü"}\n`;
  for (const [name, content] of [["a.jsonl", text], ["a.jsonl.gz", await gzip(text)]] as const) {
    const rows = await Array.fromAsync(readRows(dataset({ [name]: content }), {
      ...limits,
      maxLineLength: 4 << 20,
      freeInflatedBytes: 8 << 20,
    }));
    assert.deepEqual(values(rows), [1, "ü"]);
    assert.equal(rows[0].value.x, long);
  }
});

Deno.test("rows: stopping early closes the file", async () => {
  const lines = '{"n": 1}\n'.repeat(1000);
  for (const [name, content] of [["a.jsonl", lines], ["a.jsonl.gz", await gzip(lines)]] as const) {
    const source = dataset({ [name]: content });
    for await (const row of readRows(source)) {
      assert.equal(row.value.n, 1);
      break;
    }
    assert.equal((source.directory as MemoryDirectory).openFiles, 0);
  }
});

Deno.test("rows: broken files are named, with the line", async () => {
  await rejects(
    dataset({ "a.jsonl": '{"n": 1}\n\n{"n": ' }),
    /memory\/a.jsonl, line 3: expected JSON/,
  );
  await rejects(
    dataset({ "a.jsonl": '{"n": 1}\n[1]\n' }),
    /line 2: expected a JSON object, found a list/,
  );
  await rejects(dataset({ "a.jsonl": Uint8Array.of(0x7b, 0xff) }), /a.jsonl: expected UTF-8/);
  await rejects(dataset({ "a.jsonl": Uint8Array.of(0x7b, 0x7d, 0xc3) }), /a.jsonl: expected UTF-8/);
  await rejects(
    dataset({ "a.json": '{"n": 1}' }),
    /a.json: expected a list of rows, found an object/,
  );
  await rejects(
    dataset({ "a.json": '[{"n": 1}, 2]' }),
    /a.json, row 2: expected a JSON object, found 2/,
  );
  await rejects(dataset({}), /expected files ending in .jsonl, .jsonl.gz, .json/);
  await rejects(
    { ...dataset({ "a.parquet": "PAR1" }), files: ["a.parquet"] },
    /convert it to .jsonl/,
  );
});

Deno.test("rows: damaged gzip", async () => {
  const whole = await gzip('{"n": 1}\n'.repeat(50));
  await rejects(dataset({ "a.jsonl.gz": '{"n": 1}' }), /a.jsonl.gz: expected gzip, found damaged/);
  await rejects(dataset({ "a.jsonl.gz": whole.slice(0, -4) }), /expected gzip/);
  const flipped = whole.slice();
  flipped[whole.length - 6] ^= 1;
  await rejects(dataset({ "a.jsonl.gz": flipped }), /expected gzip/);
});

Deno.test("rows: what demands too much is refused", async () => {
  const line = `{"n": "${"x".repeat(100)}"}`;
  await rejects(
    dataset({ "a.jsonl": `{"n": 1}\n${line}\n` }),
    /line 2: expected at most 100 characters/,
  );
  await rejects(
    dataset({ "a.jsonl": `{"n": 1}\n${line}` }),
    /line 2: expected at most 100 characters/,
  );
  await rejects(dataset({ "a.json": `[${line}]` }), /expected at most 100 bytes, found 111/);
  const bomb = await gzip("\n".repeat(100_000));
  await rejects(dataset({ "a.jsonl.gz": bomb }), /inflate at most 50 times/);
});

Deno.test("rows: from the disk, by file or folder", async () => {
  const path = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${path}/a.jsonl`, '{"n": 1}\n');
    await Deno.writeTextFile(`${path}/b.jsonl`, '{"n": 2}\n');
    const read = async (path: string) =>
      values(await Array.fromAsync(readRows(await openDataset(path))));
    assert.deepEqual(await read(`${path}/b.jsonl`), [2]);
    assert.deepEqual(await read(`${path}/`), [1, 2]);
    await assert.rejects(read(`${path}/c.jsonl`), /c.jsonl: no such file or folder/);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
});
