/** The page: which tab is shown, and the start of each. */
import { startChat } from "./chat.js";
import { notice } from "./elements.js";
import { startPrefer } from "./prefer.js";
import { listModels } from "./server.js";

const links = document.querySelectorAll("nav a");

function showTab() {
  const shown = [...links].find((link) => link.hash === location.hash) ?? links[0];
  for (const link of links) {
    const current = link === shown;
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    document.querySelector(link.hash).hidden = !current;
  }
  document.querySelector(`${shown.hash} textarea`).focus();
}

addEventListener("hashchange", showTab);
showTab();

const models = await listModels().catch((error) => notice(error.message));
if (models) {
  startChat(models);
  startPrefer(models);
}
