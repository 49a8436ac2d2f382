import assert from "node:assert/strict";
import { parseSlice, sliceBounds } from "../../src/data/slice.ts";
import { parseDatasetArgument, selectFiles, splitOf } from "../../src/data/source.ts";
import { UserError } from "../../src/errors.ts";

const refuses = (action: () => unknown, message: RegExp) =>
  assert.throws(action, (error) => {
    assert.ok(error instanceof UserError, `${error}`);
    assert.match(error.message, message);
    return true;
  });

Deno.test("dataset arguments: location, split and slice", () => {
  const parse = (text: string) =>
    parseDatasetArgument(text).map(({ location, split, slice }) => [location, split, slice]);
  const end = (value: number, percent = false) => ({ value, percent });
  const cases: [string, unknown[][]][] = [
    ["a.jsonl", [["a.jsonl", null, null]]],
    ["org/name:train", [["org/name", "train", null]]],
    ["org/name@main:train_prefs[:1000]", [["org/name@main", "train_prefs", {
      from: null,
      to: end(1000),
    }]]],
    ["a.jsonl[10%:-5]", [["a.jsonl", null, { from: end(10, true), to: end(-5) }]]],
    ["C:\\data\\a.jsonl", [["C:\\data\\a.jsonl", null, null]]],
    ["x/*.parquet[3:], bb:test", [
      ["x/*.parquet", null, { from: end(3), to: null }],
      ["bb", "test", null],
    ]],
    ["a[b].jsonl", [["a[b].jsonl", null, null]]],
  ];
  for (const [text, expected] of cases) assert.deepEqual(parse(text), expected, text);
});

Deno.test("dataset arguments: what is no argument is refused", () => {
  refuses(() => parseDatasetArgument("a.jsonl,"), /found nothing in one place of "a.jsonl,"/);
  refuses(() => parseDatasetArgument("[:3]"), /found nothing/);
  for (const slice of ["[:]", "[a:]", "[1:2:3]", "[:101%]", "[1.5:]", "[%:]"]) {
    refuses(() => parseDatasetArgument(`a${slice}`), /Expected a slice such as/);
  }
});

Deno.test("slices: as Python has them, percentages rounded", () => {
  const bounds = (text: string, count: number) => {
    const { begin, end } = sliceBounds(parseSlice(text), count);
    return [begin, end];
  };
  assert.deepEqual(bounds("[2:5]", 10), [2, 5]);
  assert.deepEqual(bounds("[-3:]", 10), [7, Infinity]);
  assert.deepEqual(bounds("[:-3]", 10), [0, 7]);
  assert.deepEqual(bounds("[-30:-3]", 10), [0, 7]);
  assert.deepEqual(bounds("[33%:66%]", 10), [3, 7]);
  assert.deepEqual(bounds("[-10%:]", 25), [23, Infinity]);
  // Neighbouring slices share no row and leave none out.
  for (const count of [1, 7, 99]) {
    for (let percent = 0; percent <= 100; percent++) {
      assert.equal(bounds(`[:${percent}%]`, count)[1], bounds(`[${percent}%:]`, count)[0]);
    }
  }
});

Deno.test("splits: by the layouts of Hugging Face's datasets", () => {
  const cases: [string, string | null][] = [
    ["data/train-00000-of-00004.parquet", "train"],
    ["data/train_prefs-00001-of-00002.parquet", "train_prefs"],
    ["harmless-base/test.jsonl.gz", "test"],
    ["my_train_file.jsonl", "train"],
    ["pairs/eval.jsonl", "test"],
    ["validation/0.json", "validation"],
    ["Dev.jsonl", "validation"],
    ["trains.jsonl", null],
    ["pairs.parquet", null],
    ["test/train.jsonl", "train"],
  ];
  for (const [path, split] of cases) assert.equal(splitOf(path), split, path);
});

Deno.test("splits: the one that is asked for, or the preferred of several", () => {
  const files = [
    "README.md",
    "data/test-00000-of-00001.parquet",
    "data/train-00000-of-00002.parquet",
  ];
  const two = [...files, "data/train-00001-of-00002.parquet"];
  assert.deepEqual(selectFiles(two, null, "train", "d"), two.slice(2));
  assert.deepEqual(selectFiles(two, null, "test", "d"), [two[1]]);
  assert.deepEqual(selectFiles(two, "test", "train", "d"), [two[1]]);
  assert.deepEqual(selectFiles(two, "eval", "train", "d"), [two[1]]);
  // A single split needs no name, whatever it is called.
  assert.deepEqual(selectFiles(["b.jsonl", "a.jsonl"], null, "train", "d"), ["a.jsonl", "b.jsonl"]);
  assert.deepEqual(selectFiles(["x/test.jsonl"], null, "train", "d"), ["x/test.jsonl"]);
  const beside = ["dataset_info.json", "train.jsonl"];
  assert.deepEqual(selectFiles(beside, null, "train", "d"), ["train.jsonl"]);
  assert.deepEqual(selectFiles(["a.json"], null, "train", "d"), ["a.json"]);
});

Deno.test("splits: no guess where several files could be meant", () => {
  refuses(
    () => selectFiles(["train_prefs-00000-of-00001.parquet", "test.parquet"], null, "train", "d"),
    /Cannot choose rows of d: expected a split "train", found test, train_prefs; name one as d:SPLIT/,
  );
  refuses(() => selectFiles(["a.jsonl"], "train", "train", "d"), /found files of no split/);
  refuses(
    () => selectFiles(["a.txt"], null, "train", "d"),
    /Cannot find rows in d: expected files/,
  );
  refuses(
    () => selectFiles(["train.jsonl", "train.parquet"], null, "train", "d"),
    /files of one form, found .jsonl, .parquet, which may be the same rows twice/,
  );
});
