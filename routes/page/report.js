/** A run's report: a page of its own that has no scripts and runs none. */
import { byId } from "./elements.js";
import { request } from "./server.js";

/** The part of a report that is taken out. */
const STYLE = /<style>(.*?)<\/style>/s;

/**
 * Shows the report in a frame whose sandbox lets no script run. The page's policy holds in there too and keeps out the style in
 * the text, so that it goes in as a sheet.
 *
 * @param {string} path Where it is.
 */
export async function showReport(path) {
  const text = await (await request(path)).text();
  const frame = byId("report-frame");
  const loaded = new Promise((resolve) => frame.addEventListener("load", resolve, { once: true }));
  frame.srcdoc = text.replace(STYLE, "");
  await loaded;
  const sheet = new frame.contentWindow.CSSStyleSheet();
  sheet.replaceSync(STYLE.exec(text)?.[1] ?? "");
  frame.contentDocument.adoptedStyleSheets = [sheet];
  byId("report-dialog").showModal(); // not before: nobody is to see it without its style
}
