/** JSON answers that take long, to clients that may leave meanwhile. */
import type { Context } from "hono";
import { stream } from "hono/streaming";
import { clientGone } from "./client_gone.ts";

/** How long a client that has gone may stay unnoticed. */
const BEAT_MS = 500;

/**
 * Answers with what `produce` makes. Where that takes long, the answer begins with blanks, which JSON allows: Deno 2.9 notices
 * that a client has left only when it writes to it, if the request was longer than a few hundred bytes. (A failure after the
 * first blank can no longer have a status; the answer then ends where it is, and is no JSON.)
 *
 * @param produce Told by the signal that nobody waits any more.
 * @param onEnd Runs when it has ended, one way or the other.
 */
export async function patientJson(
  context: Context,
  produce: (signal: AbortSignal) => Promise<object>,
  { onEnd, log }: { onEnd: () => void; log: (line: string) => void },
): Promise<Response> {
  const gone = new AbortController();
  clientGone(context).addEventListener("abort", () => gone.abort(), { once: true });
  const working = produce(gone.signal).finally(onEnd);
  const { promise: late, resolve } = Promise.withResolvers<null>();
  const timer = setTimeout(() => resolve(null), BEAT_MS);
  const early = await Promise.race([working, late]).finally(() => clearTimeout(timer));
  if (early !== null) return context.json(early);

  context.header("content-type", "application/json");
  return stream(context, async (out) => {
    out.onAbort(() => gone.abort());
    const beat = setInterval(() => out.write(" "), BEAT_MS);
    try {
      await out.write(JSON.stringify(await working));
    } catch (error) {
      log(`error      ${(error as Error).stack ?? error}`);
    } finally {
      clearInterval(beat);
    }
  });
}
