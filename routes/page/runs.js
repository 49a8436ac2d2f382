/** The runs: what each has reached, its report, serving it or a checkpoint of it, and two beside each other. */
import { complain, copyFrom, onClick } from "./actions.js";
import { startComparison } from "./comparison.js";
import { byId, counted, element, showCommand } from "./elements.js";
import { inWords } from "./measures.js";
import { showReport } from "./report.js";
import { ask } from "./server.js";

const RUNS = "v1/runs";
const pathOf = (id) => `${RUNS}/${encodeURIComponent(id)}`;

/**
 * @param {{ onServed(): void, onCompare(model: string): void }} events Other models are served now; one of them is to be asked.
 * @returns {{ reload(): Promise<void>, reveal(id: string): void }} The second shows a run when the list is there.
 */
export function startRuns({ onServed, onCompare }) {
  const list = byId("run-list");
  const comparison = startComparison();
  let revealed = null;
  /** The runs to compare: the last two that were chosen. */
  let ticked = [];

  async function load() {
    const { data, has_more: more } = await ask(`${RUNS}?limit=100`);
    const title = more ? `The newest ${data.length} runs` : counted(data.length, "run");
    byId("run-count").textContent = data.length === 0 ? "No runs yet" : title;
    list.replaceChildren(...data.map(entryOf));
    const entry = [...list.children].find(({ dataset }) => dataset.id === revealed);
    entry?.querySelector("button").focus();
    revealed = null;
  }

  function entryOf(run) {
    const entry = byId("run-template").content.cloneNode(true).firstElementChild;
    const part = (name) => entry.querySelector(name);
    entry.dataset.id = run.id;
    part(".name").textContent = run.model;
    part(".facts").textContent = factsOf(run);
    part(".measures").textContent = inWords(run.final, run.first);
    showCommand(part(".command"), run.command_line);
    part(".buttons").append(...servingOf(run, run));
    part("summary").textContent = counted(run.checkpoints.length, "checkpoint");
    part("details").hidden = run.checkpoints.length === 0;
    part(".list").append(...run.checkpoints.map((checkpoint) => {
      const item = element("li", "", `Step ${checkpoint.step}`);
      item.append(...servingOf(run, checkpoint));
      return item;
    }));
    const box = part("input");
    box.value = run.id;
    box.checked = ticked.includes(run.id);
    box.addEventListener("change", () => {
      const others = ticked.filter((id) => id !== run.id);
      tick(box.checked ? [...others, run.id].slice(-2) : others);
    });
    onClick(part(".report"), () => showReport(`${pathOf(run.id)}/report`));
    onClick(part(".copy"), () => copyFrom(part(".command")));
    return entry;
  }

  /** What serves a run or a checkpoint of it, and what asks the model. */
  function servingOf({ id }, { model: named, served, step }) {
    let model = named;
    const toggle = element("button", "serve");
    const chat = element("button", "chat", "Compare in Chat");
    toggle.type = chat.type = "button";
    show(served);
    function show(isServed) {
      toggle.textContent = isServed ? "Unload" : "Serve";
      chat.hidden = !isServed;
    }
    onClick(toggle, async () => {
      const isServed = chat.hidden;
      if (isServed) {
        ({ id: model } = await ask(`${pathOf(id)}/serve`, { method: "POST", body: { step } }));
      } else await ask(`v1/models/${encodeURIComponent(model)}`, { method: "DELETE" });
      show(isServed);
      onServed();
    });
    chat.addEventListener("click", () => onCompare(model));
    return [toggle, chat];
  }

  function tick(ids) {
    ticked = ids;
    for (const box of list.querySelectorAll("input")) box.checked = ids.includes(box.value);
    if (ids.length < 2) return comparison.hide();
    const runs = ids.map((id) => ask(pathOf(id)));
    Promise.all(runs).then(comparison.show).catch(complain);
  }

  byId("comparison-close").addEventListener("click", () => {
    tick([]);
    list.querySelector("input").focus();
  });

  return {
    reload: () => load().catch(complain),
    reveal(id) {
      revealed = id;
    },
  };
}

/** When, on what, how long. */
function factsOf({ id, model, command, created_at: time, dataset, steps, seconds }) {
  return [
    ...model === id ? [] : [id],
    `${command} on ${dataset}`,
    `${counted(steps, "step")} in ${Math.round(seconds)} s`,
    new Date(time * 1000).toLocaleString(),
  ].join(" · ");
}
