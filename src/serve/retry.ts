// This module is browser compatible.

const LONGEST_PAUSE_MS = 60_000;

export interface RetryOptions {
  /** Ends the attempts. */
  signal: AbortSignal;
  /** Milliseconds before the second attempt; each further one waits twice as long, up to a minute. */
  firstPauseMs?: number;
  /** Told why an attempt failed. */
  onFailure(error: Error): void;
}

/**
 * Attempts something until it succeeds.
 *
 * @returns false if the signal ended it before.
 */
export async function retry(
  attempt: () => Promise<void>,
  { signal, firstPauseMs = 1000, onFailure }: RetryOptions,
): Promise<boolean> {
  for (
    let pauseMs = firstPauseMs;
    !signal.aborted;
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)
  ) {
    try {
      await attempt();
      return !signal.aborted;
    } catch (error) {
      onFailure(error as Error);
    }
    await pause(pauseMs, signal);
  }
  return false;
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  const wake = () => resolve();
  signal.addEventListener("abort", wake);
  await promise;
  signal.removeEventListener("abort", wake);
  clearTimeout(timer);
}
