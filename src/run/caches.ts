// This module is browser compatible.
/** Caches and workers from the options of a run. */
import type { Options } from "../config/resolve.ts";
import type { DataOptions } from "../data/prepare.ts";
import { type Dataset, readRows } from "../data/rows.ts";
import { TokenCache } from "../data/token_cache.ts";
import { cacheKey } from "../formats/cache.ts";
import type { Directory } from "../formats/files.ts";
import type { Emit } from "./events.ts";
import type { NamedCache, Ports } from "./ports.ts";

type Flags = Pick<Options<"train">, "cache" | "cacheDir" | "datasetNumProc">;

/** What a run may save time with. */
export interface Caches {
  cache: NamedCache | null;
  /** Workers that encode; 1: none. */
  workers: number;
  ports: Ports;
  emit: Emit;
}

/** Workers where the user named no number: each takes memory for a tokenizer of its own. */
const MOST_WORKERS = 4;

/** Neither a cache nor workers. */
export function withoutCaches(ports: Ports, emit: Emit): Caches {
  return { cache: null, workers: 1, ports, emit };
}

/** @param access Whether the run may write to the cache. */
export function openCaches(
  { cache, cacheDir, datasetNumProc }: Flags,
  access: "read" | "write",
  ports: Ports,
  emit: Emit,
): Caches {
  const workers = datasetNumProc ?? Math.min(navigator.hardwareConcurrency, MOST_WORKERS);
  const warn = (text: string) => emit({ type: "noted", subject: "cache", text });
  const opened = cache ? ports.openCache(cacheDir, access, warn) : null;
  if (cache && opened === null) warn("none: expected HOME to say where; --cache-dir does");
  return { cache: opened, workers, ports, emit };
}

/**
 * Prepares a dataset, or finds it prepared.
 *
 * @param path How the user calls the dataset.
 * @param directory The files of the model whose tokenizer is used.
 * @param shape What rows are taken for: it makes a difference to their tokens.
 * @param prepare Gets the options with workers and cache.
 */
export async function withCaches<T>(
  { cache, workers, ports, emit }: Caches,
  { path, dataset, directory, shape }: {
    path: string;
    dataset: Dataset;
    directory: Directory;
    shape: "pairs" | "sequences";
  },
  options: DataOptions,
  prepare: (options: DataOptions) => Promise<T>,
): Promise<T> {
  // The time is no part of the key: rows that print it are encoded anew, since they differ.
  const { now, stopIds: _, ...keyed } = options;
  const { appendEos, tokenize, promptBoundary } = options;
  using encoder = workers > 1
    ? ports.openEncoder(workers, directory, { appendEos, tokenize, promptBoundary, now })
    : undefined;
  const cacheable = cache !== null && options.filter === undefined && options.maxRows === undefined;
  if (!cacheable) return await prepare({ ...options, encoder });
  const key = await cacheKey({
    kind: "tokens 3",
    program: await ports.hashTokenCode(),
    shape,
    options: keyed,
    rows: await Promise.all(dataset.map(async ({ files, slice }) => ({
      slice,
      files: await Promise.all(
        files.map((file) => ports.hashFiles(file.directory, (name) => name === file.name)),
      ),
    }))),
    tokenizer: await ports.hashFiles(
      directory,
      (name) =>
        /^(?:tokenizer|tokenizer_config|special_tokens_map|added_tokens|config)\.json$|^chat_template\./
          .test(name),
    ),
  });
  const tokenCache = new TokenCache(cache, key, () => readRows(dataset));
  const prepared = await prepare({ ...options, encoder, tokenCache });
  emit({ type: "cached", what: "tokens", path, found: tokenCache.outcome, cache: cache.path });
  return prepared;
}
