/** The browser that tests look for: Debian's package. */
export const CHROMIUM = "/usr/bin/chromium";
export const lackOfChromium = await Deno.stat(CHROMIUM).then(() => null, () => `no ${CHROMIUM}`);
