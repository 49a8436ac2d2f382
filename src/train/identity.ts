// This module is browser compatible.

import { cacheKey } from "../formats/cache.ts";
import { isObject } from "../formats/json.ts";
import type { ModelConfig } from "../model/config.ts";
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

/**
 * The digest of a configuration. What its architecture's row says is left out, for it follows from `raw`: a row that says more
 * than before must not make another model of the same files.
 */
export async function identifyConfig(config: ModelConfig): Promise<string> {
  const { architecture: _row, biases: _follows, ...stated } = config;
  return await cacheKey(stated);
}

/** Whether a value out of JSON is an identity. */
export function isIdentity(value: unknown): value is ModelIdentity {
  return isObject(value) && typeof value.config === "string" && typeof value.weights === "string";
}
