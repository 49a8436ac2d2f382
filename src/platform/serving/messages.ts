import type { Resolved } from "../../config.ts";
import type { PreferencePair } from "../../data/pairs.ts";
import { NonFiniteError, UnavailableError, UserError } from "../../errors.ts";
import type { GenerationRequest } from "../../generate/batcher.ts";
import type { DrawnToken } from "../../generate/decoder.ts";
import type { ServedModel } from "../../serve/serving.ts";
import type { RunEvent } from "../../run/events.ts";

/** What the worker that owns the GPU is started with. */
export interface ServingSetup {
  device: { engine: "deno" | "dawn"; adapter: string | null; precision: "auto" | "f32" | "f16" };
  /** `root` as ServedModel has it; without, the name. */
  models: { name: string; path: string; root?: string }[];
  slots: number;
  positions: number;
  cacheMiB: number;
}

/** A request without what cannot be sent: functions and signals become messages of their own. */
export type SentRequest = Omit<GenerationRequest, "onTokens" | "signal">;

/** What to do; each is answered with its number, once. */
export type Task =
  | { kind: "generate"; model: string; request: SentRequest }
  | { kind: "promptLogprobs"; model: string; prompt: readonly number[]; top: number }
  | { kind: "score"; model: string; pairs: readonly PreferencePair[] }
  | { kind: "load" }
  | { kind: "addModel"; model: { name: string; path: string; root: string } }
  | { kind: "removeModel"; model: string }
  | { kind: "train"; resolved: Resolved<"train"> }
  | { kind: "evaluate"; resolved: Resolved<"eval"> };

export type ToWorker =
  | { kind: "setup"; setup: ServingSetup }
  | { kind: "task"; id: number; task: Task }
  | { kind: "cancel"; id: number };

export type FromWorker =
  | { kind: "say"; line: string }
  | { kind: "ready"; models: readonly ServedModel[] }
  | { kind: "tokens"; id: number; tokens: readonly DrawnToken[] }
  | { kind: "event"; id: number; event: RunEvent }
  /** Serving.outage has changed. */
  | { kind: "outage"; outage: string | null }
  | { kind: "done"; id: number; result: unknown }
  /** Without an id the worker is of no more use. */
  | { kind: "failed"; id?: number; error: SentError };

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
