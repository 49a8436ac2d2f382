/**
 * Takes the pictures of the page in README.md and docs/serving.md:
 *
 *     deno run -A tests/e2e/pictures.ts
 *
 * @module
 */
import { CHROMIUM } from "./chromium.ts";
import { openPage, press } from "./browser.ts";
import { serve } from "./server.ts";

const WIDTH = 900;

await using server = await serve("--reference", "fixtures/model");
await using opened = await openPage(CHROMIUM, server.address);
const { page } = opened;
await page.setViewportSize({ width: WIDTH, height: 520 });
await page.fill("#key-dialog input", "secret");
await page.press("#key-dialog input", "Enter");

const tab = (name: string) => page.click(`nav a[href='#${name}']`);

async function train(suffix: string, beta: string) {
  await page.fill("#train [name=suffix]", suffix);
  await page.fill("#train [name=beta]", beta);
  await page.locator("#train-command").filter({ hasText: `--beta ${beta}` }).waitFor();
  await press(page.locator("#train [type=submit]"));
  await page.locator("#job-title", { hasText: suffix }).waitFor();
  await page.locator("#job-facts").filter({ hasText: "succeeded" }).waitFor({ timeout: 600_000 });
}

await tab("train");
await page.selectOption("#train [name=validation_file]", "fixtures-eval");
await page.fill("#train [name=max_steps]", "60");
await train("bold", "0.05");
await train("careful", "0.2");
await page.setViewportSize({ width: WIDTH, height: 820 });
await page.locator("#job").scrollIntoViewIfNeeded();
await page.evaluate("scrollTo(0, 0)");
await page.screenshot({ path: "fixtures/page-train.png" });

await page.setViewportSize({ width: WIDTH, height: 520 });
await press(page.locator("#job-compare"));
await page.locator("#chat").waitFor();
await page.fill("#chat [name=prompt]", "What should I feed a quazzit?");
await page.press("#chat [name=prompt]", "Enter");
await page.locator("#chat .answer").nth(1).waitFor();
await page.waitForSelector("#chat-stop:disabled");
await page.screenshot({ path: "fixtures/page.png" });

await page.setViewportSize({ width: WIDTH, height: 860 });
await tab("runs");
for (const name of ["bold", "careful"]) {
  await page.locator("#run-list > li", { hasText: `ft:policy:${name}` }).locator("input").first()
    .check();
}
await page.locator("#comparison canvas").nth(2).waitFor();
await page.evaluate("scrollTo(0, 0)");
await page.screenshot({ path: "fixtures/page-runs.png" });
