import assert from "node:assert/strict";
import { loadPairs } from "../../src/data/pairs.ts";
import { readRows } from "../../src/data/rows.ts";
import { SqlitePreferences } from "../../src/platform/sqlite_preferences.ts";
import { MemoryDirectory } from "../formats/memory_directory.ts";
import { appWith, ask, messages, tokenizer } from "./served.ts";

const PATH = "/v1/preferences";
const answer = (content: string) => [{ role: "assistant", content }];
const pair = (name: string) => ({
  prompt: messages(`What is ${name}?`),
  chosen: answer(`It is ${name}.`),
  rejected: answer("No idea."),
});

/** An app with an empty store, and how to ask it. */
async function fresh() {
  const store = await SqlitePreferences.open(":memory:");
  const app = appWith({ preferences: store });
  return {
    [Symbol.dispose]: () => store.close(),
    ask: (path: string, body?: unknown, method?: string) =>
      ask(path, body, { app, ...method ? { method } : {} }),
  };
}

Deno.test("preferences are kept once, listed in pages, replaced, removed and brought back", async () => {
  using server = await fresh();
  const { ask } = server;
  const added = await ask(PATH, { pairs: [pair("a"), pair("b"), pair("c")], model: "policy" });
  assert.equal(added.status, 201);
  assert.deepEqual(added.body.data.map(({ id }: { id: number }) => id), [1, 2, 3]);
  const again = await ask(PATH, { pairs: [pair("b"), pair("d")] });
  assert.deepEqual([again.body.data.length, again.body.already_kept], [1, 1]);

  const first = (await ask(`${PATH}?limit=3`)).body;
  assert.deepEqual([first.data.length, first.has_more, first.total], [3, true, 4]);
  const rest = (await ask(`${PATH}?limit=3&before=${first.data.at(-1).id}`)).body;
  assert.deepEqual([rest.data.length, rest.has_more], [1, false]);
  const { id, created: _, model, ...texts } = rest.data[0];
  assert.deepEqual([id, model, texts], [1, "policy", pair("a")]);

  const { prompt, chosen, rejected } = pair("a");
  const swapped = { prompt, chosen: rejected, rejected: chosen };
  const replaced = await ask(`${PATH}/1`, swapped, "PUT");
  assert.deepEqual([replaced.body.id, replaced.body.chosen], [1, rejected]);
  assert.equal((await ask(`${PATH}/1`, {}, "DELETE")).body.deleted, true);
  assert.equal((await ask(PATH)).body.total, 3);
  assert.deepEqual((await ask(`${PATH}/undo`, {})).body.kind, "remove");
  assert.deepEqual((await ask(`${PATH}/undo`, {})).body.kind, "replace");
  assert.deepEqual((await ask(PATH)).body.data.at(-1).chosen, chosen);
  await ask(`${PATH}/undo`, {});
  await ask(`${PATH}/undo`, {});
  const nothing = await ask(`${PATH}/undo`, {});
  assert.equal(nothing.status, 409);
  assert.equal((await ask(PATH)).body.total, 0);
});

Deno.test("the export is a dataset that train reads, and that can be imported", async () => {
  using server = await fresh();
  const { ask } = server;
  const pairs = Array.from({ length: 300 }, (_, i) => pair(`${i}`));
  await ask(PATH, { pairs });
  const { headers, body } = await ask(`${PATH}/export`);
  assert.match(headers.get("content-disposition")!, /filename="preferences\.jsonl"/);
  const directory = new MemoryDirectory({ "preferences.jsonl": body });
  const rows = readRows([{ files: [{ directory, name: "preferences.jsonl" }], slice: null }]);
  const loaded = await loadPairs(rows, tokenizer, {
    maxLengthTokens: 128,
    truncation: "drop",
    appendEos: true,
    score: "completion",
    vocabSize: 512,
  });
  assert.equal(loaded.counts.kept, 300);
  const [newest] = loaded.pairs;
  const said = tokenizer.decode([...newest.chosen.ids.subarray(newest.chosen.promptLength)]);
  assert.match(said, /It is 299\./);

  using other = await fresh();
  const lines = body.trimEnd().split("\n").map((line: string) => JSON.parse(line));
  assert.equal((await other.ask(PATH, { pairs: lines })).body.data.length, 300);
  assert.equal((await other.ask(`${PATH}/export`)).body.split("\n").length, 301);
});

Deno.test("what is no preference is refused by name, and nothing of its request is kept", async () => {
  using server = await fresh();
  const { ask } = server;
  const same = { ...pair("a"), rejected: pair("a").chosen };
  const cases: [unknown, RegExp][] = [
    [{ pairs: [] }, /pairs/],
    [{ pairs: [pair("a"), same] }, /^pairs\.1: expected two answers that differ/],
    [{ pairs: [pair("a"), { ...pair("b"), chosen: "text" }] }, /^pairs\.1\.chosen/],
    [{ pairs: [{ ...pair("a"), prompt: [] }] }, /^pairs\.0\.prompt/],
    [{ pairs: [{ ...pair("a"), score: 1 }] }, /score/],
    [{ pairs: [{ ...pair("a"), prompt: [{ role: "tool", content: "" }] }] }, /role/],
  ];
  for (const [body, message] of cases) {
    const reply = await ask(PATH, body);
    assert.equal(reply.status, 400);
    assert.match(reply.body.error.message, message);
  }
  assert.equal((await ask(`${PATH}/7`, pair("a"), "PUT")).status, 404);
  assert.equal((await ask(`${PATH}/7`, {}, "DELETE")).status, 404);
  for (const query of ["limit=0", "limit=1001", "limit=x", "before=0", "after=1"]) {
    assert.equal((await ask(`${PATH}?${query}`)).status, 400, query);
  }
  assert.equal((await ask(PATH)).body.total, 0);
});

Deno.test("metrics count routes, not ids", async () => {
  using server = await fresh();
  const { ask } = server;
  await ask(PATH, { pairs: [pair("a"), pair("b")] });
  for (const id of [1, 2]) await ask(`${PATH}/${id}`, {}, "DELETE");
  const { body } = await ask("/metrics");
  const counted = /^smoldpo_requests_total\{route="\/v1\/preferences\/:id[^"]*",status="200"\} 2$/m;
  assert.match(body, counted);
});
