/** The chat: one model answers, or two side by side, of which each knows its own answers alone. */
import {
  AnswerView,
  byId,
  choose,
  element,
  offer,
  remember,
  samplingOf,
  sendOnEnter,
} from "./elements.js";
import { streamChat } from "./server.js";

/** Choice of the second select. */
const NONE = "";

/**
 * @returns {{ offer(models: { id: string, root: string, role: string }[]): void, compare(model: string, beside?: string): void }} The first
 *   takes the models that there are; the second asks one of them from now on, beside another or the model that it came from.
 */
export function startChat() {
  const form = byId("chat-form");
  const stop = byId("chat-stop");
  const turns = byId("turns");
  const send = form.querySelector("[type=submit]");
  const selects = [form.elements.model, form.elements.beside];
  let models = [];
  /** Resolves with the first list of models. */
  const offered = Promise.withResolvers();
  /** What each side has been told and has answered. */
  let histories = [[], []];
  /** Aborts the answers in work; null: there are none. */
  let controller = null;

  /** Whose answers all failed is given back what was asked, to send it again. */
  async function ask(prompt) {
    controller = new AbortController();
    setBusy(true);
    const sampling = samplingOf(form);
    const asked = selects.map(({ value }) => value).filter((id) => id !== NONE);
    const views = asked.map((id) => new AnswerView(titleOf(id)));
    const answers = element("div", "answers");
    answers.append(...views.map((view) => view.element));
    turns.append(element("p", "said", prompt), answers);
    scrollTo(0, document.documentElement.scrollHeight);
    const done = await Promise.all(
      asked.map((id, side) => answer(id, side, views[side], prompt, sampling)),
    );
    controller = null;
    setBusy(false);
    const { prompt: field } = form.elements;
    if (!done.includes(true) && field.value === "") field.value = prompt;
  }

  /** A failed answer leaves no trace in the history. @returns {Promise<boolean>} Whether it did not fail. */
  async function answer(model, side, view, prompt, sampling) {
    const history = histories[side];
    const asked = { role: "user", content: prompt };
    const system = form.elements.system.value;
    const messages = [
      ...system.trim() === "" ? [] : [{ role: "system", content: system }],
      ...history,
      asked,
    ];
    try {
      for await (const part of streamChat({ model, messages, ...sampling }, controller.signal)) {
        if (part.reason) view.end(part.reason);
        else view.add(part.text);
      }
    } catch (error) {
      if (error.name !== "AbortError") {
        view.fail(error.message);
        return false;
      }
      view.end(null);
    }
    history.push(asked, { role: "assistant", content: view.text });
    return true;
  }

  /** Another model knows nothing of what was said: neither may the one beside it. */
  function beginAnew() {
    controller?.abort();
    if (histories.some(({ length }) => length > 0)) {
      turns.append(element("p", "facts", "A new conversation"));
    }
    histories = [[], []];
  }

  /** Which is which matters where the server was started with two. */
  function titleOf(id) {
    const role = models.find((model) => model.id === id)?.role;
    const hasReference = models.some(({ role }) => role === "reference");
    return role === "trained" || role === id || !hasReference ? id : `${id} (${role})`;
  }

  function setBusy(busy) {
    send.disabled = busy;
    stop.disabled = !busy;
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { prompt } = form.elements;
    await offered.promise; // who writes faster than the server lists its models loses nothing
    if (controller !== null || prompt.value.trim() === "") return;
    ask(prompt.value);
    prompt.value = "";
  });
  sendOnEnter(form);
  stop.addEventListener("click", () => controller?.abort());
  byId("chat").addEventListener("keydown", (event) => {
    if (event.key === "Escape") controller?.abort();
  });
  byId("chat-clear").addEventListener("click", () => {
    controller?.abort();
    histories = [[], []];
    turns.replaceChildren();
    form.elements.prompt.focus();
  });
  for (const select of selects) select.addEventListener("change", beginAnew);
  followBottom(turns);

  return {
    offer(listed) {
      const first = models.length === 0;
      models = listed;
      const chosen = selects.map(({ value }) => value);
      const choices = models.map(({ id }) => [id, titleOf(id)]);
      offer(selects[0], choices);
      offer(selects[1], [[NONE, "none"], ...choices]);
      if (first) {
        selects[1].value = models.find(({ role }) => role === "reference")?.id ?? NONE;
        remember(form);
        offered.resolve();
      } else if (selects.some(({ value }, side) => value !== chosen[side])) beginAnew();
    },
    compare(id, beside = models.find((model) => model.id === id)?.root) {
      choose(selects[0], [id]);
      choose(selects[1], [beside === id ? NONE : beside]);
      beginAnew();
    },
  };
}

/** Keeps the end of the page in sight while something in it grows, unless the reader has scrolled away from it. */
function followBottom(growing) {
  const page = document.documentElement;
  let follows = true;
  addEventListener("scroll", () => {
    follows = page.scrollHeight - page.clientHeight - page.scrollTop < 8;
  }, { passive: true });
  new ResizeObserver(() => {
    if (follows) scrollTo(0, page.scrollHeight);
  }).observe(growing);
}
