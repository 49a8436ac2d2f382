// This module is browser compatible.

import { isObject } from "../formats/json.ts";
import type { ModelSource } from "../model/directory.ts";

/** What a model is, whatever it is called and wherever it lies: SHA-256 digests, hexadecimal. */
export interface ModelIdentity {
  /** Of the configuration as it is understood. */
  config: string;
  /** Of the bytes of the files of weights. */
  weights: string;
}

/** Computes the identity of a model; it reads every byte of its weights. */
export type IdentifyModel = (
  source: Pick<ModelSource, "config" | "tensors">,
) => Promise<ModelIdentity>;

/** Whether a value out of JSON is an identity. */
export function isIdentity(value: unknown): value is ModelIdentity {
  return isObject(value) && typeof value.config === "string" && typeof value.weights === "string";
}
