/** The pairs that are kept: listed from the newest on, swapped, deleted, undone, exported, imported. */
import { attempt, notice, onClick, onFile } from "./actions.js";
import { byId, counted, element } from "./elements.js";
import { ask, request } from "./server.js";

const PATH = "v1/preferences";
/** Characters of a request; the server takes a million bytes. */
const MOST_CHARACTERS = 200_000;

/** @returns {{ add(pairs: object[], model: string): Promise<boolean> }} Keeps pairs; false: it failed, and that was said. */
export function startPairs() {
  const list = byId("pairs");
  const more = byId("pairs-more");
  let total = 0;

  const send = (path, method, body = {}) => ask(path, { method, body });

  async function reload() {
    const page = await ask(`${PATH}?limit=20`);
    list.replaceChildren(...page.data.map(entryOf));
    said(page);
  }

  async function loadMore() {
    const before = list.lastElementChild.dataset.id;
    const page = await ask(`${PATH}?limit=20&before=${before}`);
    list.append(...page.data.map(entryOf));
    said(page);
  }

  function said(page) {
    total = page.total;
    more.hidden = !page.has_more;
    byId("pair-count").textContent = total === 0 ? "No pairs yet" : counted(total, "pair");
    byId("pairs-export").disabled = total === 0;
  }

  function entryOf({ id, created, model, prompt, chosen, rejected }) {
    const entry = byId("pair-template").content.cloneNode(true).firstElementChild;
    entry.dataset.id = id;
    entry.querySelector(".said").textContent = textOf(prompt);
    entry.querySelector(".chosen .text").textContent = textOf(chosen);
    entry.querySelector(".rejected .text").textContent = textOf(rejected);
    const time = new Date(created * 1000).toLocaleString();
    entry.querySelector(".facts").textContent = model === null ? time : `${model} · ${time}`;
    const swap = () => send(`${PATH}/${id}`, "PUT", { prompt, chosen: rejected, rejected: chosen });
    const remove = () => send(`${PATH}/${id}`, "DELETE");
    onClick(entry.querySelector(".swap"), async () => {
      const swapped = entryOf(await swap());
      entry.replaceWith(swapped);
      swapped.querySelector(".swap").focus();
    });
    onClick(entry.querySelector(".delete"), async () => {
      await remove();
      entry.remove();
      said({ total: total - 1, has_more: !more.hidden });
      byId("pairs-undo").focus();
    });
    return entry;
  }

  async function undo() {
    await send(`${PATH}/undo`, "POST");
    await reload();
  }

  /** By way of a request of our own, for a link brings no key. */
  async function exportAll() {
    const blob = await (await request(`${PATH}/export`)).blob();
    const link = element("a", "");
    link.href = URL.createObjectURL(blob);
    link.download = "preferences.jsonl";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // some browsers read it later
  }

  async function importFile(file) {
    const pairs = (await file.text()).split("\n").flatMap((line, i) => pairOf(line, i + 1));
    const batches = batchesOf(pairs);
    let imported = 0;
    let sent = 0;
    for (const batch of batches) {
      if (batches.length > 1) notice(`Importing: ${sent} of ${pairs.length} pairs are there`);
      imported += (await send(PATH, "POST", { pairs: batch })).data.length;
      sent += batch.length;
    }
    await reload();
    const already = pairs.length - imported;
    notice(`Imported ${imported} pairs` + (already > 0 ? `; ${already} were there already` : ""));
  }

  onClick(byId("pairs-undo"), undo);
  onClick(byId("pairs-export"), exportAll);
  onClick(more, loadMore);
  onFile(byId("pairs-import"), byId("pairs-file"), importFile);
  attempt(reload);

  return {
    add: (pairs, model) =>
      attempt(async () => {
        const { data } = await send(PATH, "POST", { pairs, model });
        await reload();
        if (data.length === 0) notice("This pair was kept before");
      }),
  };
}

/** What is said, without the roles where there is one turn. */
function textOf(messages) {
  if (messages.length === 1) return messages[0].content;
  return messages.map(({ role, content }) => `${role}: ${content}`).join("\n");
}

/** @throws {Error} If the line holds no pair in messages; columns beside them are left out. */
function pairOf(line, number) {
  if (line.trim() === "") return [];
  try {
    const { prompt, chosen, rejected } = JSON.parse(line);
    const pair = {
      prompt: messagesOf("user", prompt),
      chosen: messagesOf("assistant", chosen),
      rejected: messagesOf("assistant", rejected),
    };
    if (Object.values(pair).every(Array.isArray)) return [pair];
  } catch {
    // as if it were another thing
  }
  throw new Error(
    `Cannot import line ${number}: expected JSON with prompt, chosen and rejected, each a text or a list of messages`,
  );
}

/** A text is a message of its own. */
const messagesOf = (role, said) => typeof said === "string" ? [{ role, content: said }] : said;

/** Lists that fit a request each. */
function batchesOf(pairs) {
  const batches = [[]];
  let characters = 0;
  for (const pair of pairs) {
    const { length } = JSON.stringify(pair);
    if (characters + length > MOST_CHARACTERS) {
      batches.push([]);
      characters = 0;
    }
    batches.at(-1).push(pair);
    characters += length;
  }
  return batches.filter((batch) => batch.length > 0);
}
