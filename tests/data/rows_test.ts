import assert from "node:assert/strict";
import { zstdCompressSync } from "node:zlib";
import { type DatasetRow, readRows, readRowsInTurn, type RowLimits } from "../../src/data/rows.ts";
import { parseSlice, type Slice } from "../../src/data/slice.ts";
import { UserError } from "../../src/errors.ts";
import { collect, MemoryDirectory } from "../formats/memory_directory.ts";
import { parquetFile } from "./parquet_files.ts";

const limits: RowLimits = {
  maxLineLength: 100,
  maxListLength: 100,
  freeInflatedBytes: 10_000,
  maxInflation: 50,
};

function gzip(content: string | Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return collect(new Blob([content]).stream().pipeThrough(new CompressionStream("gzip")));
}

const zstd = (content: string) => Uint8Array.from(zstdCompressSync(content));

type Files = Record<string, string | Uint8Array<ArrayBuffer>>;

/** A dataset of files in memory, in the order of their names. */
function memory(files: Files, slice: Slice | null = null) {
  const directory = new MemoryDirectory(files);
  const names = Object.keys(files).sort();
  return { directory, dataset: [{ files: names.map((name) => ({ directory, name })), slice }] };
}

const dataset = (files: Files, slice: Slice | null = null) => memory(files, slice).dataset;

async function rejects(files: Files, message: RegExp): Promise<void> {
  const { directory, dataset } = memory(files);
  await assert.rejects(Array.fromAsync(readRows(dataset, limits)), (error) => {
    assert.ok(error instanceof UserError, `${error}`);
    assert.match(error.message, message);
    return true;
  });
  assert.equal(directory.openFiles, 0);
}

const values = (rows: DatasetRow[]) => rows.map(({ value }) => value.n);

Deno.test("rows: every kind of file, in order", async () => {
  const rows = await Array.fromAsync(readRows(dataset({
    "c.json": '[{"n": 5}, {"n": 6}]',
    "b.jsonl.gz": await gzip('{"n": 3}\n{"n": 4}\n'),
    "a.jsonl": '\ufeff{"n": 1}\r\n\n  \n{"n": 2}',
    "d.parquet": parquetFile([{ n: 7 }, { n: 8 }, { n: 9 }], { rowGroupSize: 2 }),
    "e.jsonl.zst": zstd('{"n": 10}\n'),
  })));
  assert.deepEqual(values(rows), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.deepEqual(rows.map(({ where }) => where), [
    "memory/a.jsonl, line 1",
    "memory/a.jsonl, line 4",
    "memory/b.jsonl.gz, line 1",
    "memory/b.jsonl.gz, line 2",
    "memory/c.json, row 1",
    "memory/c.json, row 2",
    "memory/d.parquet, row 1",
    "memory/d.parquet, row 2",
    "memory/d.parquet, row 3",
    "memory/e.jsonl.zst, line 1",
  ]);
});

Deno.test("rows: JSON under whatever name, as a row on each line, a list, or a list in a field", async () => {
  const lines = '{"n": 1}\n{"n": 2}\n', list = '[\n {"n": 1},\n {"n": 2}\n]';
  const contents = [lines, list, '[{"n": 1}, {"n": 2}]', `{"version": 1, "data": ${list}}`];
  contents.push('{"rows": [{"n": 1}, {"n": 2}]}', lines.replaceAll("}\n", "}\r\n\r\n"));
  for (const name of ["a.json", "a.jsonl", "a.ndjson", "A.JSONL", "a.Json"]) {
    for (const content of contents) {
      const rows = await Array.fromAsync(readRows(dataset({ [name]: content })));
      assert.deepEqual(values(rows), [1, 2], `${name}: ${content}`);
    }
  }
  // A single row may have a field of such a name.
  for (const content of ['{"n": 3, "data": {"x": 1}}', '{"n": 3,\n"items": [1]}', '{"n": 3}']) {
    assert.deepEqual(values(await Array.fromAsync(readRows(dataset({ "a.json": content })))), [3]);
  }
  assert.deepEqual(await Array.fromAsync(readRows(dataset({ "a.json": " \n" }))), []);
});

Deno.test("rows: numbers that Python writes and JSON does not have are null", async () => {
  const text = '{"n": 1, "x": NaN, "y": [Infinity, -Infinity], "z": "a NaN \\" Infinity"}\n';
  for (const content of [text, `[${text}]`, text + text]) {
    const [{ value }] = await Array.fromAsync(readRows(dataset({ "a.jsonl": content })));
    assert.deepEqual(value, { n: 1, x: null, y: [null, null], z: 'a NaN " Infinity' });
  }
});

Deno.test("rows: tables as text", async () => {
  const text = '\ufeffn,text\r\n1,"a, ""b""\nc"\r\n\r\n2,é\r\n';
  const expected = [{ n: "1", text: 'a, "b"\nc' }, { n: "2", text: "é" }];
  const files: Files = {
    "a.csv": text,
    "b.CSV.GZ": await gzip(text),
    "c.csv.zst": zstd(text),
    "d.tsv": text.replaceAll(/(n|1|2),/g, "$1\t"),
  };
  const rows = await Array.fromAsync(readRows(dataset(files)));
  assert.deepEqual(
    rows.map(({ value }) => ({ ...value })),
    Object.keys(files).flatMap(() => expected),
  );
  assert.equal(rows[1].where, "memory/a.csv, line 5");
  const { directory, dataset: long } = memory({ "a.csv": "n\n" + "1\n".repeat(99_999) });
  for await (const { value } of readRows(long)) {
    assert.equal(value.n, "1");
    break;
  }
  assert.equal(directory.openFiles, 0);
});

Deno.test("rows: slices of files of every kind, counted over all files of a part", async () => {
  const files = {
    "a.jsonl": '{"n": 0}\n{"n": 1}\n',
    "b.parquet": parquetFile([2, 3, 4, 5, 6].map((n) => ({ n })), { rowGroupSize: 2 }),
    "c.json": '[{"n": 7}, {"n": 8}, {"n": 9}]',
  };
  const all = Array.from({ length: 10 }, (_, n) => n);
  const cases: [string, number[]][] = [
    ["[:3]", all.slice(0, 3)],
    ["[3:]", all.slice(3)],
    ["[1:8]", all.slice(1, 8)],
    ["[-4:]", all.slice(-4)],
    ["[:-4]", all.slice(0, -4)],
    ["[10%:50%]", all.slice(1, 5)],
    ["[-20%:]", all.slice(-2)],
    ["[25%:]", all.slice(3)],
    ["[:0]", []],
    ["[5:5]", []],
    ["[7:99]", all.slice(7)],
    ["[-99:2]", all.slice(0, 2)],
  ];
  for (const [text, expected] of cases) {
    const rows = await Array.fromAsync(readRows(dataset(files, parseSlice(text))));
    assert.deepEqual(values(rows), expected, text);
  }
});

Deno.test("rows: a slice reads no further than its end", async () => {
  const { directory, dataset } = memory(
    { "a.jsonl": '{"n": 1}\n{"n": 2}\nbroken' },
    parseSlice("[:2]"),
  );
  assert.deepEqual(values(await Array.fromAsync(readRows(dataset))), [1, 2]);
  assert.equal(directory.openFiles, 0);
});

Deno.test("rows: parts one after the other", async () => {
  const parts = [...dataset({ "a.jsonl": '{"n": 1}\n' }), ...dataset({ "a.jsonl": '{"n": 2}\n' })];
  assert.deepEqual(values(await Array.fromAsync(readRows(parts))), [1, 2]);
});

Deno.test("rows: parts in turn, and all are closed, whoever stops", async () => {
  const { directory, dataset: long } = memory({
    "a.jsonl": '{"n": 1}\n{"n": 2}\n{"n": 3}\n{"n": 4}\n',
  });
  const parts = [
    ...long,
    ...dataset({ "a.jsonl": '{"n": 10}\n{"n": 20}\n' }),
    ...dataset({ "a.jsonl": "" }),
  ];
  assert.deepEqual(values(await Array.fromAsync(readRowsInTurn(parts))), [1, 10, 2, 20, 3, 4]);
  for await (const row of readRowsInTurn(parts)) {
    if (row.value.n === 10) break;
  }
  assert.equal(directory.openFiles, 0);
  const broken = [...long, ...dataset({ "a.jsonl": "{" })];
  await assert.rejects(Array.fromAsync(readRowsInTurn(broken)), UserError);
  assert.equal(directory.openFiles, 0);
});

Deno.test("rows: lines longer than a chunk of the file, and letters cut by its end", async () => {
  const long = "é".repeat(3 << 20);
  const text = `{"n": 1, "x": "${long}"}\n{"n": "ü"}\n`;
  const files = [
    ["a.jsonl", text],
    ["a.jsonl.gz", await gzip(text)],
    ["a.jsonl.zst", zstd(text)],
  ] as const;
  for (const [name, content] of files) {
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
  const files = [
    ["a.jsonl", lines],
    ["a.jsonl.gz", await gzip(lines)],
    ["a.jsonl.zst", zstd(lines)],
    ["a.parquet", parquetFile([{ n: 1 }, { n: 2 }], { rowGroupSize: 1 })],
  ] as const;
  for (const [name, content] of files) {
    const { directory, dataset } = memory({ [name]: content });
    for await (const row of readRows(dataset)) {
      assert.equal(row.value.n, 1);
      break;
    }
    assert.equal(directory.openFiles, 0);
  }
});

Deno.test("rows: broken files are named, with the line", async () => {
  await rejects({ "a.jsonl": '{"n": 1}\n\n{"n": ' }, /memory\/a.jsonl, line 3: expected JSON/);
  await rejects({ "a.jsonl": '{"n": 1}\n[1]\n' }, /line 2: expected a JSON object, found a list/);
  await rejects({ "a.jsonl": Uint8Array.of(0x7b, 0xff) }, /a.jsonl: expected UTF-8/);
  await rejects({ "a.jsonl": Uint8Array.of(0x7b, 0x7d, 0xc3) }, /a.jsonl: expected UTF-8/);
  await rejects({ "a.json": '[\n{"n": 1}\n,]' }, /a.json: expected JSON/);
  await rejects({ "a.jsonl": '{"n": \n{"n": 1}\n' }, /a.jsonl, line 1: expected JSON/);
  await rejects({ "a.json": "3" }, /a.json, line 1: expected a JSON object, found 3/);
  await rejects({ "a.json": '[{"n": 1}, 2]' }, /a.json, row 2: expected a JSON object, found 2/);
  await rejects({ "a.txt": "n" }, /a.txt: expected a dataset ending in .*convert it to .jsonl/);
  await rejects({ "a.csv": "n,m\n1,2\n1,2,3\n" }, /a.csv: expected a table .*line 3/);
  await rejects({ "a.csv": 'n\n"1\n' }, /a.csv: expected a table/);
  await rejects({ "a.parquet": "PAR1" }, /a.parquet: expected Parquet, found damaged data/);
});

Deno.test("rows: damaged gzip", async () => {
  const whole = await gzip('{"n": 1}\n'.repeat(50));
  await rejects({ "a.jsonl.gz": '{"n": 1}' }, /a.jsonl.gz: expected gzip, found damaged/);
  await rejects({ "a.jsonl.gz": whole.slice(0, -4) }, /expected gzip/);
  const flipped = whole.slice();
  flipped[whole.length - 6] ^= 1;
  await rejects({ "a.jsonl.gz": flipped }, /expected gzip/);
});

Deno.test("rows: damaged zstd", async () => {
  const whole = zstd('{"n": 1}\n'.repeat(50));
  await rejects({ "a.jsonl.zst": '{"n": 1}' }, /a.jsonl.zst: expected zstd, found damaged/);
  await rejects({ "a.jsonl.zst": whole.slice(0, -4) }, /expected zstd/);
});

Deno.test("rows: what demands too much is refused", async () => {
  const line = `{"n": "${"x".repeat(100)}"}`;
  await rejects({ "a.jsonl": `{"n": 1}\n${line}\n` }, /line 2: expected at most 100 characters/);
  await rejects({ "a.jsonl": `{"n": 1}\n${line}` }, /line 2: expected at most 100 characters/);
  await rejects({ "a.json": `[${line}]` }, /expected at most 100 characters/);
  const bomb = await gzip("\n".repeat(100_000));
  await rejects({ "a.jsonl.gz": bomb }, /inflate at most 50 times/);
  await rejects({ "a.jsonl.zst": zstd("\n".repeat(100_000)) }, /inflate at most 50 times/);
});
