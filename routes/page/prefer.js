/** Preferring: two answers to a prompt, of which a click or an arrow key keeps the better one. */
import { notice } from "./actions.js";
import { AnswerView, byId, element, offer, remember, samplingOf, sendOnEnter } from "./elements.js";
import { startPairs } from "./pairs.js";
import { streamChat } from "./server.js";

/** The answers by name, and the keys that keep them. */
const SIDES = [["First", "←"], ["Second", "→"]];

/** @returns {{ offer(models: { id: string }[]): void }} Takes the models that there are. */
export function startPrefer() {
  const form = byId("prefer-form");
  const draw = form.querySelector("[type=submit]");
  const stop = byId("prefer-stop");
  const candidates = byId("candidates");
  const pairs = startPairs();
  /** Resolves with the first list of models. */
  const offered = Promise.withResolvers();
  /** Aborts the drawing; null: there is none. */
  let controller = null;
  /** The two answers that wait for a decision, with their prompt and model; null: there are none. */
  let drawn = null;
  /** Whether a pair is on its way to the server; what is drawn then would be taken away with it. */
  let keeping = false;

  async function drawTwo(prompt) {
    controller = new AbortController();
    const model = byId("prefer-model").value;
    const views = SIDES.map(([name]) => new AnswerView(name));
    notice();
    show(views);
    candidates.focus(); // for the arrow keys
    try {
      const messages = [{ role: "user", content: prompt }];
      // Each of n draws its own way.
      const body = { model, messages, n: 2, ...samplingOf(form) };
      for await (const { index, text, reason } of streamChat(body, controller.signal)) {
        if (reason) views[index].end(reason);
        else views[index].add(text);
      }
      if (views[0].text === views[1].text) {
        notice("Both answers are the same: generate again, perhaps at a higher temperature");
      } else {
        drawn = { model, prompt, texts: views.map(({ text }) => text) };
      }
    } catch (error) {
      if (error.name === "AbortError") views.forEach((view) => view.end(null));
      else views[0].fail(error.message);
    }
    controller = null;
    update();
  }

  async function keep(side) {
    const { model, prompt, texts } = drawn;
    const answer = (content) => [{ role: "assistant", content }];
    const pair = {
      prompt: [{ role: "user", content: prompt }],
      chosen: answer(texts[side]),
      rejected: answer(texts[1 - side]),
    };
    keeping = true;
    update();
    const kept = await pairs.add([pair], model);
    keeping = false;
    if (!kept) return update(); // to try again
    show([]);
    form.elements.prompt.select();
  }

  function show(views) {
    drawn = null;
    candidates.replaceChildren(...views.map((view) => view.element));
    for (const [side, view] of views.entries()) {
      const button = element("button", "", "Keep ");
      button.append(element("kbd", "", SIDES[side][1]));
      button.addEventListener("click", () => keep(side));
      view.element.append(button);
    }
    update();
  }

  const canKeep = () => drawn !== null && !keeping;

  function update() {
    draw.disabled = controller !== null || keeping;
    stop.disabled = controller === null;
    for (const button of candidates.querySelectorAll("button")) button.disabled = !canKeep();
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await offered.promise; // who writes faster than the server lists its models loses nothing
    const prompt = form.elements.prompt.value;
    if (!draw.disabled && prompt.trim() !== "") drawTwo(prompt);
  });
  sendOnEnter(form);
  stop.addEventListener("click", () => controller?.abort());

  document.addEventListener("keydown", (event) => {
    if (byId("prefer").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") return controller?.abort();
    // In a field the arrows move the cursor.
    if (document.activeElement.matches("input, select, textarea") || !canKeep()) return;
    const act = {
      ArrowLeft: () => keep(0),
      ArrowRight: () => keep(1),
      ArrowDown: () => form.requestSubmit(),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  return {
    offer(models) {
      const select = byId("prefer-model");
      const first = select.length === 0;
      offer(select, models.map(({ id }) => [id, id]));
      if (!first) return;
      remember(form);
      offered.resolve();
    },
  };
}
