import assert from "node:assert/strict";
import { parsePair } from "../../src/data/pair_rows.ts";
import { type DataOptions, RowPreparer } from "../../src/data/prepare.ts";
import type { DatasetRow } from "../../src/data/rows.ts";
import { UserError } from "../../src/errors.ts";
import type { PreparedRow } from "../../src/data/prepared.ts";
import { byteTokenizer } from "../text/byte_tokenizer.ts";
import { RowStream, type StreamOptions } from "../../src/train/row_stream.ts";

const data: DataOptions = {
  maxLengthTokens: 8,
  truncation: "keep_start",
  appendEos: false,
  score: "completion",
  vocabSize: 1000,
};

/** A dataset whose row i has the tokens 1, i and 2, and how many rows of it were read, by pass. */
function datasetOf(count: number, isEmpty: (row: number) => boolean = () => false) {
  const read: number[] = [];
  const open = async function* (): AsyncGenerator<DatasetRow> {
    const pass = read.push(0) - 1;
    for (let i = 0; i < count; i++) {
      read[pass]++;
      const value = { prompt_ids: [1], chosen_ids: isEmpty(i) ? [] : [i], rejected_ids: [2] };
      yield { where: `row ${i}`, value };
    }
  };
  return { open, read };
}

function streamOf(
  open: () => AsyncIterable<DatasetRow>,
  options: Partial<StreamOptions> = {},
  changes: Partial<DataOptions> = {},
) {
  const preparer = new RowPreparer(parsePair, null, { ...data, ...changes });
  const toRows = (step: readonly PreparedRow[]) => step.map(({ index }) => index);
  return new RowStream(open, preparer, { toRows }, {
    rowsPerStep: 4,
    bufferRows: 8,
    seed: 7,
    ...options,
  });
}

/** The rows of the next steps, with their pass and epoch. */
async function take(stream: ReturnType<typeof streamOf>, steps: number) {
  const taken = [];
  for (let i = 0; i < steps; i++) {
    const { rows, pass, epoch } = await stream.next();
    taken.push({ rows: Array.from(rows, (row) => stream.rows[row]), pass, epoch });
  }
  return taken;
}

Deno.test("stream: every row once in a pass, the last step takes what is left", async () => {
  const { open } = datasetOf(30);
  const stream = streamOf(open);
  await stream.begin();
  const steps = await take(stream, 16);
  assert.deepEqual(steps.map(({ rows }) => rows.length), [
    4,
    4,
    4,
    4,
    4,
    4,
    4,
    2,
    4,
    4,
    4,
    4,
    4,
    4,
    4,
    2,
  ]);
  assert.deepEqual(steps.map(({ pass }) => pass), [...Array(8).fill(0), ...Array(8).fill(1)]);
  const [first, second] = [0, 8].map((begin) =>
    steps.slice(begin, begin + 8).flatMap(({ rows }) => rows)
  );
  const all = Array.from({ length: 30 }, (_, i) => i);
  for (const rows of [first, second]) assert.deepEqual(rows.toSorted((a, b) => a - b), all);
  assert.notDeepEqual(first, all, "shuffled");
  assert.notDeepEqual(first, second, "another order in each pass");
  // How long a pass is, is known when one is over.
  assert.deepEqual(steps.slice(6, 10).map(({ epoch }) => epoch), [0, 0, 1 + 4 / 30, 1 + 8 / 30]);
});

Deno.test("stream: the seed decides the order; a buffer of one keeps it", async () => {
  const rowsOf = async (options: Partial<StreamOptions>) => {
    const stream = streamOf(datasetOf(30).open, options);
    await stream.begin();
    return (await take(stream, 7)).flatMap(({ rows }) => rows);
  };
  assert.deepEqual(await rowsOf({ seed: 1 }), await rowsOf({ seed: 1 }));
  assert.notDeepEqual(await rowsOf({ seed: 1 }), await rowsOf({ seed: 2 }));
  assert.deepEqual(await rowsOf({ bufferRows: 1 }), Array.from({ length: 28 }, (_, i) => i));
});

Deno.test("stream: no more is read than the buffer and what was drawn", async () => {
  const { open, read } = datasetOf(1_000_000);
  const stream = streamOf(open, { bufferRows: 50 });
  await stream.begin();
  assert.deepEqual(read, [50]);
  await take(stream, 10);
  assert.deepEqual(read, [90]);
  await stream.close();
});

Deno.test("stream: taken up at any step it goes on with the same rows and counts", async () => {
  const dataset = () => datasetOf(23, (row) => row % 5 === 0).open;
  const whole = streamOf(dataset());
  await whole.begin();
  const expected = [];
  const positions = [];
  for (let step = 0; step < 14; step++) {
    positions.push(whole.position);
    expected.push(...await take(whole, 1));
  }
  for (const [step, position] of positions.entries()) {
    const resumed = streamOf(dataset());
    await resumed.begin();
    await resumed.resume(JSON.parse(JSON.stringify(position)));
    assert.deepEqual(await take(resumed, 14 - step), expected.slice(step), `from step ${step}`);
    assert.deepEqual(resumed.position, whole.position);
  }
  assert.equal(whole.position.counts.droppedEmptyCompletion > 5, true);
});

Deno.test("stream: rows with several pairs, also where a step ends amid a row's", async () => {
  const open = async function* (): AsyncGenerator<DatasetRow> {
    for (let i = 0; i < 7; i++) {
      const value = { prompt: "q", chosen: "c", rejected: ["r", "s", "t"].slice(i % 3) };
      yield { where: `row ${i}`, value };
    }
  };
  const tokenizer = await byteTokenizer();
  const streamed = () => {
    const parse = (row: DatasetRow) => parsePair(row, { rankedPairs: "best-all" });
    const preparer = new RowPreparer(parse, tokenizer, { ...data, maxLengthTokens: 64 });
    const toRow = ({ index, sequences: [, { ids }] }: PreparedRow) => `${index}${ids.at(-1)}`;
    const toRows = (step: readonly PreparedRow[]) => step.map(toRow);
    return new RowStream(open, preparer, { toRows }, { rowsPerStep: 4, bufferRows: 3, seed: 7 });
  };
  const next = async (stream: ReturnType<typeof streamed>) => {
    const { rows, pass } = await stream.next();
    return [pass, ...Array.from(rows, (row) => stream.rows[row])];
  };
  const whole = streamed();
  await whole.begin();
  const steps = [];
  for (let step = 0; step < 9; step++) {
    const position = JSON.parse(JSON.stringify(whole.position));
    steps.push({ position, rows: await next(whole) });
  }
  // 3 + 2 + 1 pairs, twice, and 3: a pass has fifteen in four steps.
  assert.deepEqual(steps.map(({ rows }) => rows.length - 1), [4, 4, 4, 3, 4, 4, 4, 3, 4]);
  assert.equal(new Set(steps.slice(0, 4).flatMap(({ rows }) => rows.slice(1))).size, 15);
  for (const [step, { position }] of steps.entries()) {
    const resumed = streamed();
    await resumed.begin();
    await resumed.resume(position);
    const found = [];
    for (let i = step; i < 9; i++) found.push(await next(resumed));
    assert.deepEqual(found, steps.slice(step).map(({ rows }) => rows), `from step ${step}`);
    assert.deepEqual(resumed.position, whole.position);
  }
});

Deno.test("stream: what cannot be trained on is said", async () => {
  const refused = async (action: Promise<unknown>, message: RegExp) =>
    await assert.rejects(action, (error) => {
      assert.ok(error instanceof UserError, `${error}`);
      assert.match(error.message, message);
      return true;
    });
  await refused(streamOf(datasetOf(0).open).begin(), /at least one row, found none/);
  const empty = streamOf(datasetOf(9, () => true).open);
  await empty.begin();
  await refused(empty.next(), /found 9 rows, of which 9 have an empty completion/);
  const short = streamOf(datasetOf(5).open);
  const counts = short.position.counts;
  await refused(
    short.resume({ pass: 0, drawn: 6, rowsPerPass: null, counts }),
    /Cannot resume: expected the 6 rows that were read before, found 5/,
  );
  const cut = streamOf(datasetOf(500).open, { rowsPerStep: 100 }, {
    maxLengthTokens: 2,
    truncation: "drop",
    maxTruncatedShare: 0.1,
  });
  await cut.begin();
  assert.equal((await take(cut, 1))[0].rows.length, 100);
  const long = async function* (): AsyncGenerator<DatasetRow> {
    for (let i = 0; i < 500; i++) {
      const chosen_ids = i % 2 === 0 ? [3, 4] : [3];
      yield { where: `row ${i}`, value: { prompt_ids: [1], chosen_ids, rejected_ids: [2] } };
    }
  };
  const halves = streamOf(long, { rowsPerStep: 100 }, {
    maxLengthTokens: 2,
    maxTruncatedShare: 0.1,
  });
  await halves.begin();
  await refused(halves.next(), /at most 10 % of its rows longer than 2 tokens/);
});
