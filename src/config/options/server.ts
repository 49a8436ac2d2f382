// This module is browser compatible.
import { integer, number, type OptionSpec, text } from "../kinds.ts";

export const SERVER = {
  servedModelName: text(
    ["serve"],
    "Name of the model for clients (default: its directory's name)",
    {
      default: null,
      placeholder: "NAME",
    },
  ),
  parallel: integer(["serve"], "Sequences that a model generates at the same time", {
    default: 8,
    min: 1,
    max: 256,
  }),
  maxQueue: integer(["serve"], "Sequences that may wait; more are refused with 429", {
    default: 64,
    min: 0,
    max: 10000,
  }),
  maxModelLen: integer(["serve"], "Maximum length of prompt and answer together, in tokens", {
    default: 2048,
    min: 2,
  }),
  kvCacheMib: integer(["serve"], "Key-value cache of each model, in MiB", {
    default: 512,
    min: 1,
  }),
  maxTrainedModels: integer(
    ["serve"],
    "Models loaded besides those named (trained by jobs, or requested runs); 0: none, and no training jobs",
    { default: 4, min: 0, max: 1000 },
  ),
  trainingFiles: text(["serve"], "Datasets for training jobs, by the names that clients use", {
    default: "fixtures=fixtures/pairs/train.jsonl,fixtures-eval=fixtures/pairs/eval.jsonl",
    placeholder: "NAME=PATH,...",
  }),
  preferences: text(["serve"], "SQLite file for the preferences that people give on the page", {
    default: "runs/preferences.db",
    placeholder: "FILE",
  }),
  corsOrigin: text(["serve"], "Origin whose pages may send requests, such as https://example.org", {
    default: null,
    placeholder: "ORIGIN",
  }),
  timeout: number(
    ["serve"],
    "Seconds that a request may take to arrive, and then its answer to be made",
    { default: 300, above: 0, max: 86_400 },
  ),
  shutdownTimeout: number(["serve"], "Seconds that running answers may take when the server ends", {
    default: 30,
    min: 0,
  }),
} satisfies Record<string, OptionSpec>;
