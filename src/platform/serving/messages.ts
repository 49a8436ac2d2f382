import type { ServedModel } from "../../serve/serving.ts";
import type { SentError, ToAnswer, ToCaller } from "./calls.ts";

/** What the worker that owns the GPU is started with. */
export interface ServingSetup {
  device: { engine: "deno" | "dawn"; adapter: string | null; precision: "auto" | "f32" | "f16" };
  /** `root` as ServedModel has it; without, the name. */
  models: { name: string; path: string; root?: string }[];
  slots: number;
  positions: number;
  cacheMiB: number;
}

/** Methods of LocalWorker that are called from the server's thread. */
export type RemoteMethod =
  | "generate"
  | "promptLogprobs"
  | "score"
  | "load"
  | "addModel"
  | "removeModel"
  | "train"
  | "evaluate";

export type ToWorker = { kind: "setup"; setup: ServingSetup } | ToAnswer;

export type FromWorker =
  | { kind: "say"; line: string }
  | { kind: "ready"; models: readonly ServedModel[] }
  /** It could not be started. */
  | { kind: "unready"; error: SentError }
  /** Serving.outage has changed. */
  | { kind: "outage"; outage: string | null }
  | ToCaller;
