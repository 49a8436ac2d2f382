/** What a click or a keystroke sets off: once at a time, and with words where it fails. */
import { byId } from "./elements.js";

/** Tells the user something, or takes it away. */
export function notice(text = "", failed = false) {
  const place = byId("notice");
  place.textContent = text;
  place.classList.toggle("failed", failed);
}
byId("notice-close").addEventListener("click", () => notice());

/** Says what went wrong. */
export const complain = (error) => notice(error.message, true);

/** Does something, and says what went wrong. @returns {Promise<boolean>} Whether nothing did. */
export async function attempt(action) {
  notice();
  try {
    await action();
    return true;
  } catch (error) {
    complain(error);
    return false;
  }
}

/** Attempts one at a time; a button that was disabled meanwhile would lose the keyboard's focus. */
export function oneAtATime(action) {
  let busy = false;
  return async () => {
    if (busy) return;
    busy = true;
    await attempt(action);
    busy = false;
  };
}

export function onClick(button, action) {
  button.addEventListener("click", oneAtATime(action));
}

/** Opens the browser's choice of a file at a click. @param {(file: File) => Promise<void>} action */
export function onFile(button, input, action) {
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (file) await attempt(() => action(file));
    input.value = "";
  });
}

/** Of calls that come close together only the last is made. */
export function settled(action, milliseconds) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds);
  };
}

/**
 * Asks for what changes, and takes each answer but those that a later one has overtaken: it knows more.
 *
 * @template T
 * @param {() => Promise<T>} ask
 * @param {(answer: T) => void} take
 * @returns {() => Promise<void>}
 */
export function newest(ask, take) {
  let asked = 0;
  let taken = 0;
  return async () => {
    const number = ++asked;
    const answer = await ask();
    if (number < taken) return;
    taken = number;
    take(answer);
  };
}

/** Copies the text of an element. It is selected too, for without TLS a page may not copy by itself. */
export async function copyFrom(place) {
  getSelection().selectAllChildren(place);
  if (!navigator.clipboard) throw new Error("This browser copies here by its own keys alone");
  await navigator.clipboard.writeText(place.textContent);
  notice("Copied");
}
