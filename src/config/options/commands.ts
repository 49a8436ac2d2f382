// This module is browser compatible.
/** Commands that share options. */

export const MODEL = [
  "train",
  "sft",
  "eval",
  "score",
  "generate",
  "serve",
  "inspect",
  "download",
  "convert",
  "upload",
  "bench",
] as const;
export const ALL = [...MODEL, "filter"] as const;
export const TRAINING = ["train", "sft"] as const;
export const PUSHING = [...TRAINING, "convert"] as const;
export const PREFERENCE = ["train", "eval"] as const;
export const DATA = ["train", "sft", "eval", "score", "inspect"] as const;
export const FILTERING = ["filter", "train"] as const;
export const ON_DEVICE = [...DATA, "generate", "serve", "bench"] as const;
export const PAIRS = ["train", "eval", "score", "filter", "inspect"] as const;
