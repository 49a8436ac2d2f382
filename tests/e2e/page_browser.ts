/**
 * A person in front of the page, in Debian's Chromium: does what a person does and prints what happened, as JSON. A process of its
 * own, for playwright asks for more than tests may do.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Page } from "playwright-core";
import { openPage, press } from "./browser.ts";

const [executablePath, address] = Deno.args;
await using opened = await openPage(executablePath, address);
const { page, complaints, strayRequests } = opened;

/** Every text that each answer of the chat had on its way. */
async function watchAnswers(page: Page) {
  await page.evaluate(`
    globalThis.texts = new Map();
    new MutationObserver(() => {
      for (const [i, { textContent }] of document.querySelectorAll("#chat .answer .text").entries()) {
        texts.set(i, (texts.get(i) ?? new Set()).add(textContent));
      }
    }).observe(document.querySelector("#chat"), { childList: true, subtree: true });
  `);
}

async function chat() {
  await watchAnswers(page);
  const send = async (text: string) => {
    const before = await page.locator("#chat .answer").count();
    await page.fill("#chat [name=prompt]", text);
    await page.press("#chat [name=prompt]", "Enter");
    firstSent.resolve();
    await page.locator("#chat .answer").nth(before).waitFor();
  };
  await page.click("#chat summary");
  await page.fill("#chat [name=temperature]", "0");
  await send("What should I feed a quazzit?");
  await page.waitForSelector("#chat-stop:disabled");
  const answers = await page.locator("#chat .answer .text").allTextContents();
  const facts = await page.locator("#chat .answer .facts").allTextContents();
  const steps = await page.evaluate(`[...texts.values()].map((seen) => seen.size)`);

  // The second turn comes with the first; it would take long, and is stopped on the way.
  await page.route("**/v1/chat/completions", (route) => {
    const postData = { ...route.request().postDataJSON(), ignore_eos: true };
    return route.continue({ postData });
  });
  const asked = page.waitForRequest("**/v1/chat/completions");
  await send("Tell me everything");
  const { messages } = (await asked).postDataJSON();
  await page.locator("#chat .answer .text").nth(2).filter({ hasText: /\S/ }).waitFor();
  await page.keyboard.press("Escape");
  await page.waitForSelector("#chat-stop:disabled");
  const stopped = await page.locator("#chat .answer .facts").nth(2).textContent();
  await page.unrouteAll();
  await press(page.locator("#chat-clear"));
  assert.equal(await page.locator("#chat .answer").count(), 0);

  // The policy alone, which knows nothing of what it said beside the other.
  await send("What should I feed a quazzit?");
  await page.waitForSelector("#chat-stop:disabled");
  await page.selectOption("#chat [name=beside]", "none");
  const askedAlone = page.waitForRequest("**/v1/chat/completions");
  await send("How does the frindle sound?");
  await page.waitForSelector("#chat-stop:disabled");
  const alone = (await askedAlone).postDataJSON();
  const turns = await page.locator("#turns > *").evaluateAll((all) =>
    all.map(({ className, children }) => [className, children.length])
  );

  // A stream that fails in its middle, as where a model overflows, behind a character that ends a line for some readers.
  const events = [
    ...[{ role: "assistant", content: "" }, { content: "H\u2028o" }].map((delta) => ({
      choices: [{ index: 0, delta, finish_reason: null }],
    })),
    { error: { message: "Expected finite scores for token 2 of the answer" } },
  ];
  const body = events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("");
  await page.route(
    "**/v1/chat/completions",
    (route) => route.fulfill({ contentType: "text/event-stream", body }),
  );
  await send("And the quazzit?");
  const failed = await page.locator("#chat .answer.failed .text").textContent();
  await page.unrouteAll();

  await page.reload();
  await page.waitForSelector("#chat [name=model] option", { state: "attached" });
  const remembered = await page.locator("#chat .settings :is(input, select, textarea)").evaluateAll(
    (all) => all.map((field) => (field as unknown as { value: string }).value),
  );
  return { answers, facts, steps, history: messages, stopped, alone, turns, failed, remembered };
}

async function prefer() {
  const draw = async () => {
    for (let tries = 0; tries < 10; tries++) {
      await press(page.locator("#prefer [type=submit]"));
      await page.waitForSelector("#candidates button:enabled, #notice:not(:empty)");
      if (await page.locator("#candidates button").first().isEnabled()) break; // else both were the same
    }
    return await page.locator("#candidates .text").allTextContents();
  };
  const shown = async () => {
    const of = (side: string) => page.locator(`#pairs .${side} .text`).allTextContents();
    const [chosen, rejected] = [await of("chosen"), await of("rejected")];
    return chosen.map((text, i) => [text, rejected[i]]);
  };
  const counted = (text: string) => page.locator("#pair-count").filter({ hasText: text }).waitFor();
  const exported = async () => {
    const download = page.waitForEvent("download");
    await press(page.locator("#pairs-export"));
    return await Deno.readTextFile(await (await download).path());
  };

  await page.click("nav a[href='#prefer']");
  await counted("No pairs yet");
  await page.fill("#prefer textarea", "What should I feed a quazzit?");
  await page.fill("#prefer [name=temperature]", "2");
  const first = await draw();
  await page.keyboard.press("ArrowRight");
  await counted("1 pair");
  const second = await draw();
  await page.keyboard.press("ArrowLeft");
  await counted("2 pairs");
  const kept = await shown();

  const oldest = page.locator("#pairs li").nth(1);
  await press(oldest.locator(".swap"));
  await oldest.locator(".chosen .text").filter({ hasText: first[0] }).waitFor();
  const swapped = await shown();
  await press(page.locator("#pairs li").nth(0).locator(".delete"));
  await counted("1 pair");
  await page.keyboard.press("Enter"); // on Undo
  await counted("2 pairs");
  const undone = await shown();

  const dataset = await exported();
  const another = dataset.replaceAll("quazzit", "frindle");
  const file = { name: "p.jsonl", mimeType: "application/jsonl" };
  const input = page.locator("#pairs-file");
  await input.setInputFiles({ ...file, buffer: Buffer.from(dataset + another) });
  await counted("4 pairs");
  const notice = await page.textContent("#notice");
  await page.evaluate(`
    globalThis.notices = [];
    new MutationObserver(() => notices.push(document.querySelector("#notice").textContent))
      .observe(document.querySelector("#notice"), { childList: true });
  `);
  const long = [1, 2, 3, 4].map((i) => dataset.replaceAll("quazzit", `${i}`.repeat(40_000)));
  await input.setInputFiles({ ...file, buffer: Buffer.from(long.join("")) });
  await counted("12 pairs");
  const notices = await page.evaluate("notices");
  await input.setInputFiles({ ...file, buffer: Buffer.from('{"prompt": "text"}') });
  await page.locator("#notice").filter({ hasText: "Cannot import line 1" }).waitFor();
  return { first, second, kept, swapped, undone, dataset, notice, notices };
}

// The first message is sent before the list of models has come.
const firstSent = Promise.withResolvers<void>();
await page.route("**/v1/models", async (route) => {
  await firstSent.promise;
  await route.continue();
});
await page.fill("#key-dialog input", "wrong");
const refused = page.waitForResponse((response) => response.status() === 401);
await page.press("#key-dialog input", "Enter");
await refused;
await page.fill("#key-dialog input", "secret");
await page.press("#key-dialog input", "Enter");
const result = { chat: await chat(), prefer: await prefer() };
await page.setViewportSize({ width: 320, height: 640 });
const overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
console.log(JSON.stringify({ ...result, overflow, complaints, strayRequests }));
