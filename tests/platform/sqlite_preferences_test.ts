import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { UserError } from "../../src/errors.ts";
import { SqlitePreferences } from "../../src/platform/sqlite_preferences.ts";
import type { Preference } from "../../src/serve/preferences.ts";
import { inTemporaryDirectory } from "../e2e/command.ts";

const turn = (role: string, content: string) => [{ role, content }];
const pair = (name: string): Preference => ({
  prompt: turn("user", `Say ${name}`),
  chosen: turn("assistant", name),
  rejected: turn("assistant", `not ${name}`),
});
const swapped = ({ prompt, chosen, rejected }: Preference) => ({
  prompt,
  chosen: rejected,
  rejected: chosen,
});
const textsOf = (store: SqlitePreferences) =>
  store.list(1000).map(({ chosen: [{ content }] }) => content);

Deno.test("preferences outlast the process, and their file comes with the first of them", () =>
  inTemporaryDirectory(async (directory) => {
    const path = `${directory}/new/preferences.db`;
    const store = await SqlitePreferences.open(path);
    assert.deepEqual([store.count(), store.list(10)], [0, []]);
    await assert.rejects(Deno.stat(`${directory}/new`), Deno.errors.NotFound);
    const strange = { ...pair("a"), prompt: turn("user", "\0 \ud800 \u2028 ' \" é") };
    const [kept] = store.add([strange], "policy");
    assert.deepEqual({ ...kept, created: 0 }, { id: 1, created: 0, model: "policy", ...strange });
    assert.ok(Math.abs(kept.created - Date.now() / 1000) < 60);

    const other = await SqlitePreferences.open(path); // as after a crash: the first was not closed
    assert.deepEqual(other.list(10), [kept]);
    assert.deepEqual(other.add([strange, pair("b"), pair("b")], null).map(({ id }) => id), [2]);
    assert.equal(store.count(), 2);
    store.close();
    other.close();
  }));

Deno.test("preferences are listed from the newest on, in pages", async () => {
  const store = await SqlitePreferences.open(":memory:");
  store.add(["a", "b", "c", "d", "e"].map(pair), null);
  assert.deepEqual(store.list(2).map(({ id }) => id), [5, 4]);
  assert.deepEqual(store.list(2, 4).map(({ id }) => id), [3, 2]);
  assert.deepEqual(store.list(2, 2).map(({ id }) => id), [1]);
  store.close();
});

Deno.test("every change is undone, the last one first, and what it left is what there was", async () => {
  const store = await SqlitePreferences.open(":memory:");
  const states: unknown[] = [];
  const change = (make: () => unknown) => {
    states.push(store.list(100));
    make();
  };
  change(() => store.add([pair("a")], "policy"));
  change(() => store.add([pair("b"), pair("a"), pair("c")], null));
  change(() => assert.deepEqual(store.replace(1, swapped(pair("a")))!.chosen, pair("a").rejected));
  change(() => assert.equal(store.remove(1), true));
  assert.deepEqual([store.remove(1), store.replace(1, pair("a"))], [false, null]);
  change(() => store.add([pair("d")], null));
  assert.deepEqual(textsOf(store), ["d", "c", "b"]);
  const undone = [];
  for (let state; (state = states.pop());) {
    undone.push(store.undo());
    assert.deepEqual(store.list(100), state);
  }
  assert.deepEqual(undone, [
    { kind: "add", count: 1 },
    { kind: "remove", count: 1 },
    { kind: "replace", count: 1 },
    { kind: "add", count: 2 },
    { kind: "add", count: 1 },
  ]);
  assert.equal(store.undo(), null);
  assert.equal(store.add([pair("e")], null)[0].id > 4, true, "ids are not given twice");
  store.close();
});

Deno.test("what was removed a hundred changes ago is gone from the file", () =>
  inTemporaryDirectory(async (directory) => {
    const path = `${directory}/p.db`;
    const store = await SqlitePreferences.open(path);
    store.add([pair("secret")], null);
    store.remove(1);
    const holds = async () => (await Deno.readTextFile(path)).includes("secret");
    for (let i = 0; i < 99; i++) store.add([pair(`${i}`)], null);
    assert.equal(await holds(), true, "it can be undone");
    store.add([pair("99")], null);
    assert.equal(await holds(), false);
    for (let i = 0; i < 100; i++) assert.ok(store.undo());
    assert.deepEqual([store.undo(), store.count()], [null, 0]);
    store.close();
  }));

Deno.test("a change that fails leaves nothing behind", async () => {
  const store = await SqlitePreferences.open(":memory:");
  store.add([pair("a")], null);
  const circular = turn("user", "b") as { role: string; content: string; self?: unknown }[];
  circular[0].self = circular;
  assert.throws(() => store.add([pair("b"), { ...pair("c"), prompt: circular }], null), TypeError);
  assert.deepEqual(textsOf(store), ["a"]);
  assert.equal(store.undo()!.count, 1);
  store.close();
});

Deno.test("files that hold something else are refused, and left as they are", () =>
  inTemporaryDirectory(async (directory) => {
    const text = `${directory}/text.db`;
    await Deno.writeTextFile(text, "no database at all. ".repeat(100));
    const foreign = `${directory}/foreign.db`;
    const database = new DatabaseSync(foreign);
    database.exec("CREATE TABLE songs (name TEXT)");
    database.close();
    for (const path of [text, foreign]) {
      const before = await Deno.readFile(path);
      await assert.rejects(SqlitePreferences.open(path), (error) => {
        assert.ok(error instanceof UserError, `${error}`);
        assert.match(error.message, /^Cannot open .*\.db: .*; name another --preferences$/);
        return true;
      });
      assert.deepEqual(await Deno.readFile(path), before);
    }
  }));
