/** Server-sent events for answers that come in pieces. */
import type { Context } from "hono";
import { stream } from "hono/streaming";
import { errorBody, logFailure } from "./errors.ts";

/** How often a stream says that it lives: proxies end a connection that is silent, nginx after 60 s. */
const PULSE_MS = 15_000;

/**
 * Sends what `produce` emits as `data:` events, with its id where it has one, then `data: [DONE]`. A failure on the way becomes an
 * event of its own, for the status has gone out; a client that leaves aborts the signal. A job or an answer that waits for its
 * turn may emit nothing for long, so a comment, which clients skip, goes out every `pulseMs`.
 */
export function eventStream(
  context: Context,
  produce: (emit: (event: object, id?: string) => void, signal: AbortSignal) => Promise<void>,
  { onEnd, log, pulseMs = PULSE_MS }: {
    onEnd: () => void;
    log: (line: string) => void;
    pulseMs?: number;
  },
): Response {
  context.header("content-type", "text/event-stream; charset=utf-8");
  context.header("cache-control", "no-cache");
  context.header("x-accel-buffering", "no");
  return stream(context, async (out) => {
    const gone = new AbortController();
    out.onAbort(() => gone.abort());
    context.req.raw.signal.addEventListener("abort", () => gone.abort(), { once: true });
    // Events go out one behind the other, while the next ones are made.
    let sent: Promise<unknown> = Promise.resolve();
    const write = (text: string) => sent = sent.then(() => out.write(`${text}\n\n`));
    const send = (data: string, id?: string) =>
      write(`${id === undefined ? "" : `id: ${id}\n`}data: ${data}`);
    const pulse = setInterval(() => write(":"), pulseMs);
    try {
      await produce((event, id) => send(jsonLine(event), id), gone.signal);
      if (!gone.signal.aborted) send("[DONE]");
    } catch (error) {
      logFailure(error, log);
      send(jsonLine(errorBody(error).body));
    } finally {
      clearInterval(pulse);
      await sent.finally(onEnd);
    }
  });
}

/** JSON without the characters that end a line for some readers of streams, though not for JSON nor for server-sent events. */
function jsonLine(value: object): string {
  return JSON.stringify(value).replace(
    /[\u0085\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
