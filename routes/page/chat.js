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
 * @returns {{ offer(models: { id: string, root: string }[]): void, compare(model: string, beside?: string): void }} The first
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
    await Promise.all(asked.map((id, side) => answer(id, side, views[side], prompt, sampling)));
    controller = null;
    setBusy(false);
  }

  /** A failed answer leaves no trace in the history. */
  async function answer(model, side, view, prompt, sampling) {
    const history = histories[side];
    const messages = [...history, { role: "user", content: prompt }];
    try {
      for await (const part of streamChat({ model, messages, ...sampling }, controller.signal)) {
        if (part.reason) view.end(part.reason);
        else view.add(part.text);
      }
    } catch (error) {
      if (error.name !== "AbortError") return view.fail(error.message);
      view.end(null);
    }
    history.push(messages.at(-1), { role: "assistant", content: view.text });
  }

  /** Another model knows nothing of what was said: neither may the one beside it. */
  function beginAnew() {
    controller?.abort();
    if (histories.some(({ length }) => length > 0)) {
      turns.append(element("p", "facts", "A new conversation"));
    }
    histories = [[], []];
  }

  /** The server's first model is the policy; the second its reference, unless it was trained here. */
  function titleOf(id) {
    const [policy, second] = models;
    if (id === policy.id && models.length > 1) return `${id} (policy)`;
    return id === second?.id && second.root === id ? `${id} (reference)` : id;
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
        selects[1].value = models[1]?.id ?? NONE;
        remember(form);
        offered.resolve();
      } else if (selects.some(({ value }, side) => value !== chosen[side])) beginAnew();
    },
    compare(id, beside = models.find((model) => model.id === id)?.root) {
      choose(selects[0], id);
      choose(selects[1], beside === id ? NONE : beside);
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
