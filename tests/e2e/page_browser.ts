/**
 * A person in front of the page, in Debian's Chromium: does what a person does and prints what happened, as JSON. A process of its
 * own, for playwright asks for more than tests may do.
 *
 * @module
 */
import assert from "node:assert/strict";
import { chromium, type Page } from "playwright-core"; // drives the Chromium that is installed; brings none of its own

const [executablePath, address] = Deno.args;

await using browser = await chromium.launch({
  executablePath,
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
const page = await browser.newPage();
/** Errors and warnings of the console, but for the answer that makes the page ask for the key. */
const complaints: string[] = [];
/** Requests to anyone but the server. */
const strayRequests: string[] = [];
page.on("console", (message) => {
  const expected = /status of 401/.test(message.text());
  if (["error", "warning"].includes(message.type()) && !expected) complaints.push(message.text());
});
page.on("pageerror", (error) => complaints.push(error.message));
page.on("request", (request) => {
  if (new URL(request.url()).host !== address) strayRequests.push(request.url());
});

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
    await page.fill("#chat textarea", text);
    await page.press("#chat textarea", "Enter");
    await page.waitForSelector("#chat-stop:enabled");
  };
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
  await page.click("#chat-clear");
  assert.equal(await page.locator("#chat .answer").count(), 0);
  return { answers, facts, steps, history: messages, stopped };
}

await page.goto(`http://${address}/`);
await page.fill("#key-dialog input", "wrong");
const refused = page.waitForResponse((response) => response.status() === 401);
await page.press("#key-dialog input", "Enter");
await refused;
await page.fill("#key-dialog input", "secret");
await page.press("#key-dialog input", "Enter");
const result = { chat: await chat() };
await page.setViewportSize({ width: 320, height: 640 });
const overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
console.log(JSON.stringify({ ...result, overflow, complaints, strayRequests }));
