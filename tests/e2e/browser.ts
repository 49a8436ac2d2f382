/** Debian's Chromium in front of the page. Playwright asks for more than tests may do: whoever uses this is a process of its own. */
import axe, { type AxeResults } from "axe-core"; // the usual checker of accessibility, by the people who write its rules
import { chromium, type Locator, type Page } from "playwright-core"; // drives the Chromium that is installed; brings none of its own

export interface Opened extends AsyncDisposable {
  page: Page;
  /** Errors and warnings of the console, but for the answer that makes the page ask for the key. */
  complaints: string[];
  /** Requests to anyone but the server. */
  strayRequests: string[];
}

export async function openPage(executablePath: string, address: string): Promise<Opened> {
  const browser = await chromium.launch({
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
  page.setDefaultTimeout(120_000); // answers and steps take long where others compute too
  const complaints: string[] = [];
  const strayRequests: string[] = [];
  page.on("console", (message) => {
    const expected = /status of 401/.test(message.text());
    if (["error", "warning"].includes(message.type()) && !expected) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("request", (request) => {
    if (new URL(request.url()).host !== address) strayRequests.push(request.url());
  });
  await page.goto(`http://${address}/`);
  return { page, complaints, strayRequests, [Symbol.asyncDispose]: () => browser.close() };
}

/** What axe finds that keeps people out, in every tab, in light, in dark and in forced colours. */
export async function obstacles(page: Page, tabs: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (
    const media of [
      { colorScheme: "light" },
      { colorScheme: "dark" },
      { colorScheme: "dark", forcedColors: "active" },
    ] as const
  ) {
    await page.emulateMedia(media);
    for (const tab of tabs) {
      await page.click(`nav a[href='#${tab}']`);
      await page.locator(`#${tab}`).waitFor();
      await page.evaluate(axe.source); // not a tag, which the page's policy would refuse
      const { violations } = await page.evaluate<AxeResults>("axe.run()");
      const grave = violations.filter(({ impact }) =>
        impact === "serious" || impact === "critical"
      );
      found.push(
        ...grave.map(({ id, help }) => `${tab}, ${JSON.stringify(media)}: ${id}, ${help}`),
      );
    }
  }
  await page.emulateMedia({ colorScheme: null, forcedColors: null });
  return found;
}

/** Presses a button by its key: a click misses one that moves meanwhile, as texts come and charts are drawn. */
export async function press(button: Locator): Promise<void> {
  await button.and(button.page().locator(":enabled")).waitFor(); // a key on a disabled one is lost
  await button.press("Enter");
}
