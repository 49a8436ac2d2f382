/** The browser that tests look for: Debian's package. */
export const CHROMIUM = "/usr/bin/chromium";
export const hasChromium = await Deno.stat(CHROMIUM).then(() => true, () => false);
if (!hasChromium) console.log(`skipped: the page in a browser, for there is no ${CHROMIUM}`);
