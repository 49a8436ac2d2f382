/** The page: which tab is shown, and the start of each. */
import { complain, newest, notice } from "./actions.js";
import { startChat } from "./chat.js";
import { byId } from "./elements.js";
import { startPrefer } from "./prefer.js";
import { startRuns } from "./runs.js";
import { listModels } from "./server.js";
import { startTrain } from "./train.js";

/** @type {NodeListOf<HTMLAnchorElement>} */
const links = document.querySelectorAll("nav a");

const chat = startChat();
const prefer = startPrefer();
const offerModels = newest(listModels, (models) => {
  for (const tab of [chat, prefer, train]) tab.offer(models);
});
const onModels = () => offerModels().catch(complain);
const train = startTrain({
  onTrained: onModels,
  onCompare: ({ fine_tuned_model: model, model: beside }) => compare(model, beside),
  onRun(id) {
    runs.reveal(id);
    location.hash = "#runs";
  },
});
const runs = startRuns({ onServed: onModels, onCompare: compare });
/** Tabs that show what happens elsewhere too. */
const reloads = { train: train.reload, runs: runs.reload };

async function compare(model, beside) {
  await onModels();
  chat.compare(model, beside);
  location.hash = "#chat";
}

function showTab() {
  const tabOf = (link) => byId(link.hash.slice(1));
  const shown = [...links].find((link) => link.hash === location.hash) ?? links[0];
  for (const link of links) {
    const current = link === shown;
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    tabOf(link).hidden = !current;
  }
  const tab = tabOf(shown);
  (tab.querySelector("[name=prompt]") ?? tab.querySelector("select"))?.focus();
  return tab;
}

async function enterTab() {
  const tab = showTab();
  await offerModels();
  await reloads[tab.id]?.();
}

addEventListener("hashchange", () => {
  notice();
  enterTab().catch(complain);
});
await enterTab().catch(complain);
