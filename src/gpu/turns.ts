// This module is browser compatible.
/**
 * The work of a device that shares its thread: kept in order, and done in parts, one after the other. Once these have
 * lasted for a turn, the others of the thread have theirs: they wait for a turn and not for all of the work.
 *
 * @module
 */
import { Encoding } from "./encoding.ts";

/** Encodes a dispatch or a copy. */
export type Command = (encoding: Encoding) => void;

/** A command, or something done to the device between commands: a write, freeing a buffer. */
type Work = { command: Command } | { action(): void };

export interface TurnOptions {
  /** About how long a part keeps the GPU: at least one dispatch, however long it lasts; at most one that must compile. */
  partMs?: number;
  /** A turn lasts as long as the others had before it, so that neither side starves, within these bounds. */
  shortestTurnMs?: number;
  longestTurnMs?: number;
  /** Milliseconds since some moment. */
  now?: () => number;
}

/** What turns need of the device whose work they do. */
interface Device {
  readonly device: GPUDevice;
  /** Waits for all that was submitted, and gives the first bytes of a buffer. */
  map(buffer: GPUBuffer, sizeBytes: number): Promise<ArrayBuffer>;
  settled(): Promise<void>;
}

/** See the module. */
export class Turns {
  readonly #options: Required<TurnOptions>;
  readonly #fence: GPUBuffer;
  #waiting: Work[] = [];
  #finished = Promise.resolve();
  #beganMs: number;
  #turnMs: number;

  constructor(readonly gpu: Device, options: TurnOptions = {}) {
    const now = () => performance.now();
    this.#options = { partMs: 25, shortestTurnMs: 50, longestTurnMs: 250, now, ...options };
    this.#beganMs = this.#options.now();
    this.#turnMs = this.#options.shortestTurnMs;
    this.#fence = gpu.device.createBuffer({
      label: "fence",
      size: 4,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
  }

  /** Does something behind all that waits: now, if nothing does. */
  act(action: () => void): void {
    if (this.#waiting.length === 0) action();
    else this.#waiting.push({ action });
  }

  /** Writes to a buffer behind all that waits; the bytes may be overwritten afterwards. */
  write(buffer: GPUBuffer, offset: number, bytes: Uint8Array<ArrayBuffer>): void {
    const kept = this.#waiting.length === 0 ? bytes : bytes.slice();
    this.act(() => this.gpu.device.queue.writeBuffer(buffer, offset, kept));
  }

  /** Adds commands; they are done by {@link finish}. */
  add(commands: readonly Command[]): void {
    for (const command of commands) this.#waiting.push({ command });
  }

  /** Does all that waits, in as many turns as it takes. What fails is thrown once; a later call does what came behind it. */
  finish(): Promise<void> {
    return this.#finished = this.#finished.catch(() => {}).then(() => this.#work());
  }

  /** Ends the turn: the others have theirs. */
  async yield(): Promise<void> {
    const { shortestTurnMs, longestTurnMs, now } = this.#options;
    const ended = now();
    await nextEvents();
    await this.gpu.settled();
    this.#beganMs = now();
    this.#turnMs = Math.min(Math.max(shortestTurnMs, this.#beganMs - ended), longestTurnMs);
  }

  async #work(): Promise<void> {
    const { partMs, now } = this.#options;
    let most = 1;
    while (this.#waiting.length > 0) {
      const began = now();
      const dispatches = this.#submit(most);
      await this.gpu.map(this.#fence, 4);
      const tookMs = now() - began;
      // What comes next may be heavier than what was: a part has at most twice the dispatches of the one before.
      const fitting = 2 * tookMs <= partMs
        ? 2 * dispatches
        : Math.floor(dispatches * partMs / tookMs);
      most = Math.max(1, fitting);
      if (now() - this.#beganMs >= this.#turnMs) await this.yield();
    }
  }

  /** Submits what comes next, up to so many dispatches, and a fence behind it; @returns how many they were. */
  #submit(most: number): number {
    const { queue } = this.gpu.device;
    let encoding = new Encoding(this.gpu.device);
    let submitted = 0;
    const submit = () => {
      queue.submit([encoding.finish()]);
      submitted += encoding.dispatches;
    };
    while (
      this.#waiting.length > 0 && submitted + encoding.dispatches < most && !encoding.compiles
    ) {
      const work = this.#waiting.shift()!;
      if ("command" in work) {
        try {
          work.command(encoding);
        } catch (error) {
          submit(); // what came before it
          throw error;
        }
        continue;
      }
      submit();
      encoding = new Encoding(this.gpu.device);
      work.action();
    }
    encoding.copier.clearBuffer(this.#fence);
    submit();
    return submitted;
  }
}

/** Lets timers, signals and messages of other threads have their turn; in Deno a message to oneself does not. */
export function nextEvents(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}
