/** The chat: every model answers the same messages, side by side, each with its own history. */
import { AnswerView, byId, element, samplingOf, sendOnEnter } from "./elements.js";
import { streamChat } from "./server.js";

/** @param {string[]} models The policy first, then its reference. */
export function startChat(models) {
  const form = byId("chat-form");
  const stop = byId("chat-stop");
  const send = form.querySelector("[type=submit]");
  /** What each model has been told and has answered. */
  const histories = new Map(models.map((model) => [model, []]));
  /** Aborts the answers in work; null: there are none. */
  let controller = null;

  async function ask(prompt) {
    controller = new AbortController();
    setBusy(true);
    const sampling = samplingOf(form);
    const views = models.map((model) => new AnswerView(titleOf(model, models)));
    const answers = element("div", "answers");
    answers.append(...views.map((view) => view.element));
    byId("turns").append(element("p", "said", prompt), answers);
    send.scrollIntoView({ block: "end" });
    await Promise.all(models.map((model, i) => answer(model, views[i], prompt, sampling)));
    controller = null;
    setBusy(false);
  }

  /** A failed answer leaves no trace in the model's history. */
  async function answer(model, view, prompt, sampling) {
    const history = histories.get(model);
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

  function setBusy(busy) {
    send.disabled = busy;
    stop.disabled = !busy;
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { prompt } = form.elements;
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
    for (const model of models) histories.set(model, []);
    byId("turns").replaceChildren();
    form.elements.prompt.focus();
  });
}

/** With two models it is told which is which. */
function titleOf(model, models) {
  if (models.length !== 2) return model;
  return `${model} (${model === models[0] ? "policy" : "reference"})`;
}
