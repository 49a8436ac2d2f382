/**
 * Calls of methods in another thread. Arguments and results are copied; functions and the signal among the fields of the last
 * argument stay here, and are called from there by messages. (comlink makes a port for every such function, knows no signals, and
 * does not notice a thread that died.)
 *
 * @module
 */
import { NonFiniteError, UnavailableError, UserError } from "../../errors.ts";

/** Methods that can be called by messages. */
// deno-lint-ignore no-explicit-any -- any arguments
export type Methods<Names extends string> = Record<Names, (...args: any[]) => Promise<unknown>>;

/** From who calls. */
export type ToAnswer =
  | {
    kind: "call";
    id: number;
    method: string;
    args: unknown[];
    /** Fields of the last argument that stay with the caller. */
    listeners: string[];
    hasSignal: boolean;
  }
  | { kind: "cancel"; id: number };

/** From who answers. A call gets one `done` or one `failed`, and any number of `tell` before it. */
export type ToCaller =
  | { kind: "tell"; id: number; listener: string; args: unknown[] }
  | { kind: "done"; id: number; result: unknown }
  | { kind: "failed"; id: number; error: SentError };

type Listeners = Map<string, (...args: unknown[]) => void>;

interface Pending {
  listeners: Listeners;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/** The calling side of an object's methods. */
export class Caller<Names extends string, Remote extends Methods<Names>> {
  readonly #pending = new Map<number, Pending>();
  #nextId = 0;

  constructor(readonly post: (message: ToAnswer) => void) {}

  /**
   * Calls a method.
   *
   * @param args The last one may have listeners, and a `signal` that aborts the call there.
   * @throws What the method threw there, or a listener here.
   */
  call<Name extends Names>(
    method: Name,
    ...args: Parameters<Remote[Name]>
  ): ReturnType<Remote[Name]> {
    const id = this.#nextId++;
    const { copied, listeners, signal } = split(args);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending.set(id, { listeners, resolve, reject });
    const [names, hasSignal] = [[...listeners.keys()], signal !== undefined];
    this.post({ kind: "call", id, method, args: copied, listeners: names, hasSignal });
    const cancel = () => this.post({ kind: "cancel", id });
    signal?.addEventListener("abort", cancel, { once: true });
    if (signal?.aborted) cancel();
    const result = promise.finally(() => signal?.removeEventListener("abort", cancel));
    return result as ReturnType<Remote[Name]>;
  }

  receive(message: ToCaller): void {
    const { id } = message;
    const pending = this.#pending.get(id);
    if (!pending) return; // a listener failed, and who called knows
    if (message.kind === "tell") {
      try {
        pending.listeners.get(message.listener)!(...message.args);
        return;
      } catch (error) {
        this.post({ kind: "cancel", id });
        pending.reject(error);
      }
    } else if (message.kind === "done") pending.resolve(message.result);
    else pending.reject(received(message.error));
    this.#pending.delete(id);
  }

  /** Fails all calls that have no answer yet. */
  fail(error: Error): void {
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

/** Takes out of the last argument what cannot be copied. */
function split(args: unknown[]) {
  const listeners: Listeners = new Map();
  let signal: AbortSignal | undefined;
  const last = args.at(-1);
  if (typeof last !== "object" || last === null || Array.isArray(last)) {
    return { copied: args, listeners, signal };
  }
  const fields = Object.entries(last).filter(([name, value]) => {
    if (typeof value === "function") listeners.set(name, value);
    else if (value instanceof AbortSignal) signal = value;
    else return true;
    return false;
  });
  return { copied: [...args.slice(0, -1), Object.fromEntries(fields)], listeners, signal };
}

/**
 * The answering side.
 *
 * @param perform Calls the method.
 * @returns Takes what the caller sends.
 */
export function answerCalls(
  perform: (method: string, args: unknown[]) => Promise<unknown>,
  post: (message: ToCaller) => void,
): (message: ToAnswer) => Promise<void> {
  const running = new Map<number, AbortController>();
  return async (message) => {
    const { id } = message;
    if (message.kind === "cancel") return running.get(id)?.abort();
    const controller = new AbortController();
    running.set(id, controller);
    try {
      const { method, args, listeners, hasSignal } = message;
      const told = listeners.map((listener) =>
        [listener, (...args: unknown[]) => post({ kind: "tell", id, listener, args })] as const
      );
      const uncopied = {
        ...Object.fromEntries(told),
        ...hasSignal && { signal: controller.signal },
      };
      const last = args.at(-1);
      const isOptions = Object.keys(uncopied).length > 0;
      const given = isOptions ? [...args.slice(0, -1), Object.assign({}, last, uncopied)] : args;
      post({ kind: "done", id, result: await perform(method, given) });
    } catch (error) {
      post({ kind: "failed", id, error: toSend(error) });
    } finally {
      running.delete(id);
    }
  };
}

/** Errors whose messages are for the user, by name; the name of another one is of no account. */
const USER_ERRORS: readonly (new (message: string) => UserError)[] = [
  UserError,
  NonFiniteError,
  UnavailableError,
];

/** An error on its way to another thread, which could not be told by its class there. */
export interface SentError {
  name: string;
  message: string;
  stack?: string;
}

export function toSend(error: unknown): SentError {
  if (!(error instanceof Error)) return { name: "Error", message: `${error}` };
  const { name, message, stack } = error;
  return { name, message, stack };
}

/** @returns An error of the class that it had, where that is for users; with the stack that it had. */
export function received({ name, message, stack }: SentError): Error {
  const UserClass = USER_ERRORS.find((each) => each.name === name) ?? Error;
  return Object.assign(new UserClass(message), { stack });
}
