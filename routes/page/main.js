/** The page: which tab is shown, and the start of each. */
import { startChat } from "./chat.js";
import { byId, notice } from "./elements.js";
import { startPrefer } from "./prefer.js";
import { listModels } from "./server.js";

/** @type {NodeListOf<HTMLAnchorElement>} */
const links = document.querySelectorAll("nav a");

function showTab() {
  const tabOf = (link) => byId(link.hash.slice(1));
  const shown = [...links].find((link) => link.hash === location.hash) ?? links[0];
  for (const link of links) {
    const current = link === shown;
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    tabOf(link).hidden = !current;
  }
  tabOf(shown).querySelector("textarea").focus();
}

addEventListener("hashchange", showTab);
showTab();

const chat = startChat();
const prefer = startPrefer();

async function offerModels() {
  const models = await listModels();
  chat.offer(models);
  prefer.offer(models);
}

await offerModels().catch((error) => notice(error.message));
