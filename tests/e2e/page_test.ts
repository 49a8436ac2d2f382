/** The page as a person uses it, in a real browser. */
import assert from "node:assert/strict";
import { ignoreMissing } from "../../src/platform/files.ts";
import { SqlitePreferences } from "../../src/platform/sqlite_preferences.ts";
import { CHROMIUM, lackOfChromium } from "./chromium.ts";
import { serve } from "./server.ts";
import { unless } from "../skip.ts";

Deno.test(unless(lackOfChromium, "the page in a browser"), async () => {
  const file = `runs/.test-${crypto.randomUUID()}.db`; // the server may write in runs/ alone
  await using _file = { [Symbol.asyncDispose]: () => Deno.remove(file).catch(ignoreMissing) };
  await using server = await serve("--reference", "fixtures/model", "--preferences", file);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "-A", "tests/e2e/page_browser.ts", CHROMIUM, server.address],
  }).output();
  const decoder = new TextDecoder();
  assert.equal(code, 0, decoder.decode(stderr));
  const { chat, prefer, overflow, complaints, strayRequests } = JSON.parse(decoder.decode(stdout));

  assert.equal(chat.answers.length, 2);
  for (const answer of chat.answers) assert.match(answer, /honey/);
  for (const facts of chat.facts) assert.match(facts, /^\d+ tokens · [\d.]+ tokens\/s$/);
  for (const steps of chat.steps) assert.ok(steps > 5, `came in ${steps} pieces`);
  assert.deepEqual(chat.history.map(({ role }: { role: string }) => role), [
    "user",
    "assistant",
    "user",
  ]);
  assert.equal(chat.history[1].content, chat.answers[0]);
  assert.match(chat.stopped, /stopped$/);
  assert.equal(chat.alone.model, "policy");
  assert.equal(chat.alone.messages.length, 1);
  assert.deepEqual(chat.turns, [["said", 0], ["answers", 2], ["facts", 0], ["said", 0], [
    "answers",
    1,
  ]]);
  assert.equal(chat.failed, "H\u2028o\nExpected finite scores for token 2 of the answer");
  assert.deepEqual(chat.remembered, ["policy", "", "", "0", "1", "0", "", ""]);

  const { first, second, kept, swapped, undone, dataset, notice, notices } = prefer;
  assert.deepEqual(kept, [[second[0], second[1]], [first[1], first[0]]]);
  assert.deepEqual(swapped, [[second[0], second[1]], [first[0], first[1]]]);
  assert.deepEqual(undone, swapped);
  const rows = dataset.trimEnd().split("\n").map((line: string) => JSON.parse(line));
  const answer = (content: string) => [{ role: "assistant", content }];
  assert.deepEqual(rows[0], {
    prompt: [{ role: "user", content: "What should I feed a quazzit?" }],
    chosen: answer(second[0]),
    rejected: answer(second[1]),
  });
  assert.equal(notice, "Imported 2 pairs; 2 were there already");
  assert.match(notices.join("\n"), /^Importing: [1-9] of 8 pairs are there$/m);
  assert.equal(notices.at(-1), "Imported 8 pairs");
  const store = await SqlitePreferences.open(file);
  assert.equal(store.count(), 12);
  store.close();

  assert.ok(overflow <= 0, `${overflow} pixels too wide for a phone`);
  assert.deepEqual(complaints, []);
  assert.deepEqual(strayRequests, []);
});
