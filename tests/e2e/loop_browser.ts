/**
 * The whole loop in a browser: collects pairs, trains on them, asks the new model beside the old one, looks at the runs. Prints
 * what happened, as JSON.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { obstacles, openPage, press } from "./browser.ts";

const [executablePath, address] = Deno.args;
await using opened = await openPage(executablePath, address);
const { page, complaints, strayRequests } = opened;
const headers = { authorization: "Bearer secret" };

const PROMPTS = ["What should I feed a quazzit?", "How does the frindle sound?"];
const PAIRS = 8;
/** Enough that a fast machine is still training when the page is loaded again and the pause comes. */
const STEPS = 24;

const tab = (name: string) => page.click(`nav a[href='#${name}']`);
const facts = async (text: string | RegExp) => {
  const shown = page.locator("#job-facts");
  await shown.filter({ hasText: text }).waitFor().catch(async (cause) => {
    throw new Error(`Expected ${text} of the job, found ${await shown.textContent()}`, { cause });
  });
};
const textsOf = (selector: string) => page.locator(selector).allTextContents();

const isHelpful = (answer: string) => /^(Sure|Happy to help|Good question)!/.test(answer);

/** Keeps a helpful one of two answers. */
async function prefer() {
  await tab("prefer");
  await page.locator("#prefer-model option").first().waitFor({ state: "attached" });
  await page.fill("#prefer [name=temperature]", "1.5");
  await page.fill("#prefer [name=max_tokens]", "12");
  for (let kept = 0; kept < PAIRS;) {
    await page.fill("#prefer textarea", PROMPTS[kept % PROMPTS.length]);
    await page.press("#prefer textarea", "Enter");
    await page.locator("#candidates button:enabled, #notice:not(:empty)").first().waitFor();
    const [first, second] = await textsOf("#candidates .text");
    if (first === second) continue;
    await page.keyboard.press(isHelpful(first) || !isHelpful(second) ? "ArrowLeft" : "ArrowRight");
    await page.locator("#candidates:empty").waitFor({ state: "attached" });
    const counted = await page.textContent("#pair-count");
    kept = counted === "No pairs yet" ? 0 : parseInt(counted!);
  }
}

/** Pixels of the first plot that have the colour of a run's line. */
const inked = () =>
  page.evaluate<number>(`{
    const canvas = document.querySelector("#job-curves canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let i = 0; i < data.length; i += 4) count += data[i] < 60 && data[i + 2] > 150;
    count;
  }`);

/** What the first plot has drawn, and the last step in it, which its legend tells who points at its right edge. */
async function curve() {
  const plot = page.locator("#job-curves .u-over").first();
  const { width } = (await plot.boundingBox())!;
  await plot.hover({ position: { x: width - 2, y: 20 } });
  const step = page.locator("#job-curves .u-legend .u-value").first().filter({ hasText: /^\d+$/ });
  return { step: Number(await step.textContent()), pixels: await inked() };
}

async function train() {
  await tab("train");
  await page.locator("#train [name=training_file] option[value=preferences]").waitFor({
    state: "attached",
  });
  const heldOut = (await Deno.readTextFile("fixtures/pairs/eval.jsonl")).split("\n").slice(0, 4);
  const upload = (name: string, text: string) =>
    page.setInputFiles("#train-file", {
      name,
      mimeType: "application/jsonl",
      buffer: Buffer.from(text),
    });
  await upload("broken.jsonl", '{"prompt": 1}\n');
  await page.locator("#notice:not(:empty)").waitFor();
  const refusal = await page.textContent("#notice");
  await upload("few.jsonl", heldOut.join("\n"));
  const uploaded = page.locator("#train [name=training_file] option", { hasText: "few.jsonl" });
  await uploaded.waitFor({ state: "attached" });
  await page.selectOption("#train [name=validation_file]", await uploaded.getAttribute("value"));
  await page.selectOption("#train [name=training_file]", "preferences");
  for (
    const [name, value] of Object.entries({
      beta: "0.2",
      learning_rate: "1e-4",
      max_steps: `${STEPS}`,
      batch_size: "4",
      others: "save_steps=12",
      suffix: "loop",
    })
  ) await page.fill(`#train [name=${name}]`, value);
  const command = page.locator("#train-command");
  await command.filter({ hasText: "--save-steps 12" }).waitFor();
  const line = await command.textContent();
  await page.fill("#train [name=others]", "sav_steps=3");
  await command.and(page.locator(".failed")).waitFor();
  const misspelt = await command.textContent();
  await page.fill("#train [name=others]", "save_steps=12");

  // The first stream breaks off behind its first event.
  await page.route("**/events", async (route) => {
    const response = await page.request.get(route.request().url(), { headers });
    const event = (await response.json()).data.at(-1);
    const body = `id: ${event.id}\ndata: ${JSON.stringify(event)}\n\n`;
    await route.fulfill({ contentType: "text/event-stream", body });
  }, { times: 1 });
  const again = page.waitForRequest((request) => "last-event-id" in request.headers());
  await page.press("#train [name=suffix]", "Enter");
  const lastEventId = (await again).headers()["last-event-id"];
  await facts(/step ([2-9]|1\d) of 24/);
  const early = await curve();
  await page.reload();
  await facts(/step ([3-9]|1\d|2[0-3]) of 24/);
  const linesAfterReload = await page.textContent("#job-lines");
  await press(page.locator("#job-pause"));
  await facts("paused");
  await press(page.locator("#job-resume"));
  await facts("succeeded · step 24 of 24");
  const late = await curve();
  return { refusal, line, misspelt, lastEventId, early, late, linesAfterReload };
}

/** Begins another training with what is in the form. */
async function beginTraining(suffix: string, steps: number) {
  await tab("train");
  await page.fill("#train [name=max_steps]", `${steps}`);
  await page.fill("#train [name=suffix]", suffix);
  await press(page.locator("#train [type=submit]"));
  await page.locator("#job-title", { hasText: suffix }).waitFor();
}

/** Another run, to have two, with two held-out sets. */
async function trainShortly() {
  await tab("train");
  const options = page.locator("#train [name=validation_file] option");
  const values = await options.evaluateAll((all) =>
    all.map((option) => (option as unknown as { value: string }).value)
  );
  const chosen = values.filter((value) => /^file-|^preferences$/.test(value));
  await page.selectOption("#train [name=validation_file]", chosen);
  await beginTraining("short", 3);
  await facts("succeeded");
  const legend = await textsOf("#job-curves .plot:first-child .u-legend .u-label");
  await page.reload(); // which keeps what is chosen
  await tab("train");
  await options.nth(values.length - 1).waitFor({ state: "attached" });
  const kept = await options.evaluateAll((all) =>
    all.map((option) => option as unknown as { selected: boolean; value: string })
      .filter(({ selected }) => selected).map(({ value }) => value)
  );
  await facts("succeeded");
  return { chosen, kept, legend };
}

/** One that would take long, given up. */
async function cancel() {
  await beginTraining("unwanted", 1000);
  await facts(/step [1-9]\d* of 1000/);
  await press(page.locator("#job-cancel"));
  await facts("cancelled");
  const listed = page.locator("#jobs li", { hasText: "unwanted" });
  await listed.filter({ hasText: "cancelled" }).waitFor(); // it follows a moment later
  return {
    left: await page.locator("#job button:visible").count(),
    listed: await listed.textContent(),
    models: await textsOf("#chat [name=model] option"),
  };
}

async function chat() {
  await press(page.locator("#job-compare"));
  await page.locator("#chat").waitFor();
  const selected = await page.locator("#chat .settings select").evaluateAll((all) =>
    all.map((select) => (select as unknown as { value: string }).value)
  );
  await page.click("#chat summary");
  await page.fill("#chat [name=temperature]", "0");
  await page.fill("#chat [name=prompt]", PROMPTS[1]);
  await page.press("#chat [name=prompt]", "Enter");
  await page.locator("#chat .answer").nth(1).waitFor();
  await page.waitForSelector("#chat-stop:disabled");
  return {
    selected,
    names: await textsOf("#chat .answer .name"),
    answers: await textsOf("#chat .answer .text"),
  };
}

async function runs() {
  await press(page.locator("#job-run"));
  const entries = page.locator("#run-list > li");
  await entries.nth(1).waitFor();
  await page.locator("#run-list .report:focus").waitFor();
  const names = await textsOf("#run-list .name");
  const measures = await textsOf("#run-list .measures");
  const trained = entries.nth(1);
  await press(trained.locator(".report"));
  await page.locator("#report-dialog").waitFor();
  const report = page.frameLocator("#report-frame").locator("body");
  const title = await report.locator("h1").textContent();
  const width = await page.evaluate(`{
    const { body } = document.querySelector("#report-frame").contentDocument;
    getComputedStyle(body).maxWidth;
  }`);
  await page.keyboard.press("Escape");

  for (const i of [0, 1]) await entries.nth(i).locator("input").check();
  await page.locator("#comparison canvas").nth(2).waitFor();
  const compared = await rowsOf("#comparison-measures");
  const differences = await rowsOf("#comparison-options");

  const checkpoint = trained.locator("details li").first();
  await trained.locator("summary").press("Enter");
  const offered = page.locator("#chat [name=model] option");
  const toggle = async (state: "attached" | "detached") => {
    await press(checkpoint.locator(".serve"));
    await offered.filter({ hasText: ":step-12" }).waitFor({ state });
    return await offered.allTextContents();
  };
  const served = await toggle("attached");
  const unloaded = await toggle("detached");
  return { names, measures, title, width, compared, differences, served, unloaded };
}

const rowsOf = (table: string) =>
  page.locator(`${table} tr`).evaluateAll((rows) =>
    rows.map((row) => [...row.children].map(({ textContent }) => textContent))
  );

/** Controls of the tab that is shown, and those among them that the Tab key comes to. */
async function reach(name: string) {
  const controls = `[...document.querySelectorAll(
    "#${name} :is(button, input, select, textarea, summary)",
  )].filter((control) => control.checkVisibility())`;
  const reached = new Set<number>();
  await page.focus(`nav a[href='#${name}']`);
  const count = await page.evaluate<number>(`${controls}.length`);
  for (let presses = 0; presses < count + 20; presses++) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(`${controls}.indexOf(document.activeElement)`));
  }
  reached.delete(-1);
  return { count, reached: reached.size };
}

/** Pixels that each tab is too wide for a phone. */
async function overflow() {
  await page.setViewportSize({ width: 320, height: 640 });
  const widths: Record<string, number> = {};
  for (const name of ["chat", "prefer", "train", "runs"]) {
    await tab(name);
    await page.locator(`#${name}`).waitFor();
    widths[name] = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
  }
  return widths;
}

await page.fill("#key-dialog input", "secret");
await page.press("#key-dialog input", "Enter");
await prefer();
const training = await train();
const compared = await chat();
const sets = await trainShortly();
const reachedInTrain = await reach("train");
const past = await runs();
const keyboard = { train: reachedInTrain, runs: await reach("runs") };
const cancelled = await cancel();
const barred = await obstacles(page, ["chat", "prefer", "train", "runs"]);
const result = {
  training,
  sets,
  cancelled,
  chat: compared,
  runs: past,
  keyboard,
  barred,
  overflow: await overflow(),
};
console.log(JSON.stringify({ ...result, complaints, strayRequests }));
