/** Requests to the server that this page came from: its key, its errors, its event streams. */
import { byId } from "./elements.js";

const KEY = "smoldpo-key";
/** Milliseconds before a broken stream is asked for again; each failure doubles them. */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;

/** What the server answers to a request that it will not do, however often it is asked. */
class Refusal extends Error {}

/** Asks for the key until there is one; several requests that lack it share one question. */
let asking = null;
function askForKey(refused) {
  asking ??= new Promise((resolve) => {
    const dialog = byId("key-dialog");
    byId("key-refused").textContent = refused ? "The server did not accept that key." : "";
    dialog.addEventListener("close", () => {
      asking = null;
      const { value } = dialog.querySelector("input");
      if (value !== "") sessionStorage.setItem(KEY, value);
      dialog.querySelector("input").value = "";
      resolve();
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

/**
 * Sends a request, and once more with a key where the server wants one.
 *
 * @param {string} path Relative to the page.
 * @param {{ method?: string, body?: object, headers?: object, signal?: AbortSignal }} options The body goes as JSON, unless
 *   it is a form.
 * @returns {Promise<Response>}
 * @throws {Error} With the server's own words.
 */
export async function request(path, { method = "GET", body, headers = {}, signal } = {}) {
  const key = sessionStorage.getItem(KEY);
  const isForm = body instanceof FormData; // whose type fetch names itself
  const response = await reach(path, {
    method,
    signal,
    headers: {
      ...method === "GET" || isForm ? {} : { "content-type": "application/json" },
      ...key === null ? {} : { authorization: `Bearer ${key}` },
      ...headers,
    },
    body: isForm ? body : body && JSON.stringify(body),
  });
  if (response.ok) return response;
  if (response.status === 401) {
    // Another request may have got a key meanwhile.
    if (sessionStorage.getItem(KEY) === key) {
      sessionStorage.removeItem(KEY);
      await askForKey(key !== null);
      if (sessionStorage.getItem(KEY) === null) throw new Error("This server requires a key");
    }
    return await request(path, { method, body, headers, signal });
  }
  const { error } = await response.json().catch(() => ({}));
  const message = error?.message ?? `The server answered ${response.status}`;
  throw response.status < 500 ? new Refusal(message) : new Error(message);
}

/** Fetches, and says in our words where nobody answers. */
async function reach(path, init) {
  try {
    return await fetch(path, init);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is `deno task serve` still running?");
  }
}

/** Sends a request as `request` does. @returns {Promise<any>} What its answer says. */
export async function ask(path, options) {
  return await (await request(path, options)).json();
}

/** @returns {Promise<{ id: string, root: string, role: "policy" | "reference" | "trained" }[]>} */
export async function listModels() {
  return (await ask("v1/models")).data;
}

/**
 * Answers a conversation, token by token.
 *
 * @param {object} body As /v1/chat/completions takes it.
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<{ index: number, text?: string, reason?: string }>} Of each of `n` answers: the text of every token,
 *   which may be empty, and at last why it ended.
 */
export async function* streamChat(body, signal) {
  const response = await request("v1/chat/completions", {
    method: "POST",
    body: { ...body, stream: true },
    signal,
  });
  for await (const event of eventsOf(response.body)) {
    if (event.error) throw new Error(event.error.message);
    const [{ index, delta, finish_reason: reason }] = event.choices;
    if (reason !== null) yield { index, reason };
    else if (delta.role === undefined) yield { index, text: delta.content };
  }
}

/**
 * Follows events to their end. Where the connection breaks it goes on behind the last one that came.
 *
 * @param {string} path
 * @param {{ signal: AbortSignal, onConnection(there: boolean): void }} options
 * @returns {AsyncGenerator<any>} Each with its `id`.
 * @throws {Error} If the server refuses, or the signal ends it.
 */
export async function* followEvents(path, { signal, onConnection }) {
  let last;
  for (let pause = FIRST_PAUSE;; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
    try {
      const headers = { accept: "text/event-stream", ...last && { "last-event-id": last } };
      const response = await request(path, { headers, signal });
      onConnection(true);
      for await (const event of eventsOf(response.body)) {
        if (event.error) throw new Error(event.error.message);
        last = event.id;
        pause = FIRST_PAUSE;
        yield event;
      }
      return;
    } catch (error) {
      if (signal.aborted || error instanceof Refusal) throw error;
    }
    onConnection(false);
    await new Promise((resolve) => {
      setTimeout(resolve, pause);
      signal.addEventListener("abort", resolve, { once: true });
    });
  }
}

/** The events of a stream. @throws {Error} If it ends before it says so. */
async function* eventsOf(body) {
  let rest = "";
  const reader = body.pipeThrough(new TextDecoderStream()).getReader(); // not every browser iterates streams
  try {
    for (let part; !(part = await reader.read()).done;) {
      const events = (rest + part.value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const data = event.split("\n").find((line) => line.startsWith("data: "))?.slice(6);
        if (data === undefined) continue;
        if (data === "[DONE]") return;
        yield JSON.parse(data);
      }
    }
    throw new Error("The server ended in the middle of an answer");
  } catch (error) {
    if (error.name !== "TypeError") throw error;
    throw new Error("The connection to the server broke in the middle of an answer");
  } finally {
    await reader.cancel();
  }
}
