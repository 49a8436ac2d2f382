/** Pieces of the page that several tabs use. Texts go in as text, never as markup. */

/** @returns {any} Of the kind that the page has under this id. */
export const byId = (id) => document.getElementById(id);

/** An element with a text in it. */
export function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

/**
 * Offers choices in a select, and leaves what was chosen where it is still among them.
 *
 * @param {HTMLSelectElement} select
 * @param {string[][]} choices Each a value and what it is called.
 */
export function offer(select, choices) {
  const chosen = chosenIn(select);
  select.replaceChildren(...choices.map(([value, label]) => new Option(label, value)));
  choose(select, chosen);
}

/** @returns {string[]} The values that are chosen in a select: of most selects one. */
export const chosenIn = (select) => [...select.selectedOptions].map(({ value }) => value);

/** Chooses values, if there are such choices. */
export function choose(select, values) {
  const options = [...select.options];
  if (!select.multiple && !options.some(({ value }) => values.includes(value))) return;
  for (const option of options) option.selected = values.includes(option.value);
}

/** Keeps the settings of a form for the next visit. */
export function remember(form) {
  const name = `smoldpo-${form.id}`;
  const fields = [...form.querySelectorAll(".settings :is(input, select, textarea)[name]")];
  const kept = JSON.parse(localStorage.getItem(name) ?? "{}");
  for (const field of fields.filter(({ name }) => name in kept)) {
    if (field.matches("select")) choose(field, [kept[field.name]].flat());
    else field.value = kept[field.name];
  }
  form.addEventListener("change", () => {
    const valueOf = (field) => field.multiple ? chosenIn(field) : field.value;
    const values = fields.map((field) => [field.name, valueOf(field)]);
    localStorage.setItem(name, JSON.stringify(Object.fromEntries(values)));
  });
}

/** Enter sends a form, Shift and Enter begin a line, and input methods keep their Enter. */
export function sendOnEnter(form) {
  form.elements.prompt.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
}

/** The sampling fields of a form under the API's names; an empty field is left to the server. */
export function samplingOf(form) {
  const fields = [...form.querySelectorAll("input")].filter(({ value }) => value !== "");
  return Object.fromEntries(fields.map(({ name, valueAsNumber }) => [name, valueAsNumber]));
}

/** Writes a command line that does not end a line within a flag. */
export function showCommand(place, line) {
  const words = line.split(" ").flatMap((word) => [" ", element("span", "word", word)]);
  place.replaceChildren(...words.slice(1));
}

/** @returns {string} Such as "1 step" and "2 steps". */
export const counted = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

/** A place for an answer, which fills as tokens come. */
export class AnswerView {
  #facts;
  #text;
  #began = performance.now();
  #tokens = 0;
  #ended = false;

  /** @param {string} name Whose answer it is. */
  constructor(name) {
    this.element = byId("answer-template").content.cloneNode(true).firstElementChild;
    this.element.querySelector(".name").textContent = name;
    this.#facts = this.element.querySelector(".facts");
    this.#text = this.element.querySelector(".text");
    this.element.classList.add("waiting");
  }

  get text() {
    return this.#text.textContent;
  }

  /** Adds the text of one more token. */
  add(text) {
    this.element.classList.remove("waiting");
    this.#tokens++;
    this.#text.append(text);
    this.#facts.textContent = this.#pace();
  }

  /** @param {string | null} reason Why it ended, in the API's words; null: it was stopped here. */
  end(reason) {
    if (this.#ended) return;
    this.#ended = true;
    this.element.classList.remove("waiting");
    const how = { stop: "", length: " · cut at the limit" }[reason] ?? " · stopped";
    this.#facts.textContent = this.#pace() + how;
  }

  fail(message) {
    this.element.classList.replace("waiting", "failed") || this.element.classList.add("failed");
    this.#text.append(this.text === "" ? message : `\n${message}`);
  }

  /** From the request on: what was waited for counts. */
  #pace() {
    const seconds = (performance.now() - this.#began) / 1000;
    const rate = this.#tokens / seconds;
    return `${this.#tokens} tokens · ${rate.toPrecision(rate < 100 ? 2 : 3)} tokens/s`;
  }
}
