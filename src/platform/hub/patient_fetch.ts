import { setTimeout as delay } from "node:timers/promises";

/** Times that a busy hub is asked. */
const ATTEMPTS = 5;
const LONGEST_WAIT_MS = 30_000;
const TOO_MANY_REQUESTS = 429;
const BUSY = [500, 502, 503, 504];

/**
 * `fetch` that asks a busy hub again, after as long as it says or twice as long each time. What may have been done is not
 * asked for twice: after a server's error only questions are, not commands.
 *
 * @returns The last answer where the hub stays busy, or asks to wait longer than a person would.
 */
export async function patientFetch(
  input: RequestInfo | URL,
  init: RequestInit = {},
): Promise<Response> {
  for (let attempt = 1;; attempt++) {
    const response = await fetch(input, init);
    const waitMs = attempt < ATTEMPTS && mayRepeat(response.status, input, init)
      ? waitBefore(response.headers.get("retry-after"), attempt, Date.now())
      : null;
    if (waitMs === null) return response;
    await response.body?.cancel();
    await delay(waitMs, undefined, { signal: init.signal ?? undefined });
  }
}

function mayRepeat(status: number, input: RequestInfo | URL, init: RequestInit): boolean {
  // A stream is gone once it was sent.
  if (input instanceof Request || init.body instanceof ReadableStream) return false;
  const isQuestion = ["GET", "HEAD"].includes(init.method?.toUpperCase() ?? "GET");
  return status === TOO_MANY_REQUESTS || isQuestion && BUSY.includes(status);
}

/**
 * @param retryAfter The header: seconds, or a date.
 * @param attempt How often the hub was asked, from 1.
 * @returns Milliseconds to wait; null if that is too long.
 */
export function waitBefore(
  retryAfter: string | null,
  attempt: number,
  nowMs: number,
): number | null {
  const seconds = Number(retryAfter ?? NaN);
  const asked = Number.isNaN(seconds) ? Date.parse(retryAfter ?? "") - nowMs : 1000 * seconds;
  const waitMs = Number.isNaN(asked) ? 1000 * 2 ** (attempt - 1) : Math.max(0, asked);
  return waitMs <= LONGEST_WAIT_MS ? waitMs : null;
}
