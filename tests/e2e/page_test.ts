/** The page as a person uses it, in a real browser. */
import assert from "node:assert/strict";
import { serve } from "./server.ts";

const CHROMIUM = "/usr/bin/chromium";
const found = await Deno.stat(CHROMIUM).then(() => true, () => false);
if (!found) console.log(`skipped: the page in a browser, for there is no ${CHROMIUM}`);

Deno.test({ name: "the page in a browser", ignore: !found }, async () => {
  await using server = await serve("--reference", "fixtures/model");
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "-A", "tests/e2e/page_browser.ts", CHROMIUM, server.address],
  }).output();
  const decoder = new TextDecoder();
  assert.equal(code, 0, decoder.decode(stderr));
  const { chat, overflow, complaints, strayRequests } = JSON.parse(decoder.decode(stdout));

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

  assert.ok(overflow <= 0, `${overflow} pixels too wide for a phone`);
  assert.deepEqual(complaints, []);
  assert.deepEqual(strayRequests, []);
});
