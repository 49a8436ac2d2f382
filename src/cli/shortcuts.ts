/** Caches and workers from the options of a command line. */
import type { Options } from "../config.ts";
import type { DataOptions } from "../data/prepare.ts";
import { type Dataset, readRows } from "../data/rows.ts";
import { TokenCache } from "../data/token_cache.ts";
import { cacheKey } from "../formats/cache.ts";
import { defaultCachePath, DiskCache, hashDirectory } from "../platform/disk_cache.ts";
import { EncoderPool } from "../platform/encoder_pool.ts";
import { hashTokenSources } from "../platform/token_sources.ts";
import type { Context } from "./context.ts";
import type { StoredModel } from "./inputs.ts";

type Flags = Pick<Options<"train">, "cache" | "cacheDir" | "datasetNumProc">;

/** What a command may save time with. */
export interface Shortcuts {
  cache: DiskCache | null;
  /** Workers that encode; 1: none. */
  workers: number;
  /** Tells what a cache brought. */
  detail(line: string): void;
}

/** Workers where the user named no number: each takes memory for a tokenizer of its own. */
const MOST_WORKERS = 4;

/** Without any. */
export const NO_SHORTCUTS: Shortcuts = { cache: null, workers: 1, detail: () => {} };

/**
 * @param access Whether the command may write to the cache.
 * @param detail Told what the cache brought; what is wrong with it goes to stderr.
 */
export function shortcuts(
  { cache, cacheDir, datasetNumProc }: Flags,
  access: "read" | "write",
  { stderr }: Pick<Context, "stderr">,
  detail: Shortcuts["detail"] = (line) => stderr.write(`${line}\n`),
): Shortcuts {
  const workers = datasetNumProc ?? Math.min(navigator.hardwareConcurrency, MOST_WORKERS);
  const say = (line: string) => stderr.write(`${line}\n`);
  if (!cache) return { cache: null, workers, detail };
  const path = cacheDir ?? defaultCachePath();
  if (path !== null) return { cache: new DiskCache(path, access, say), workers, detail };
  say("cache      none: expected HOME to say where; --cache-dir does");
  return { cache: null, workers, detail };
}

/**
 * Prepares a dataset, or finds it prepared.
 *
 * @param path How the user calls the dataset.
 * @param shape What rows are taken for: it makes a difference to their tokens.
 * @param prepare Gets the options with workers and cache.
 */
export async function withShortcuts<T>(
  { cache, workers, detail }: Shortcuts,
  { path, dataset, directory, shape }: {
    path: string;
    dataset: Dataset;
    directory: StoredModel["directory"];
    shape: "pairs" | "sequences";
  },
  options: DataOptions,
  prepare: (options: DataOptions) => Promise<T>,
): Promise<T> {
  const { appendEos, tokenize, promptBoundary } = options;
  using encoder = workers > 1
    ? new EncoderPool(workers, directory.name, { appendEos, tokenize, promptBoundary })
    : undefined;
  const cacheable = cache !== null && options.filter === undefined && options.maxRows === undefined;
  if (!cacheable) return await prepare({ ...options, encoder });
  const key = await cacheKey({
    kind: "tokens 2",
    program: await hashTokenSources(),
    shape,
    options,
    rows: await Promise.all(dataset.map(async ({ files, slice }) => ({
      slice,
      files: await Promise.all(
        files.map((file) => hashDirectory(file.directory, (name) => name === file.name)),
      ),
    }))),
    tokenizer: await hashDirectory(
      directory,
      (name) =>
        /^(?:tokenizer|tokenizer_config|special_tokens_map)\.json$|^chat_template\./.test(name),
    ),
  });
  const tokenCache = new TokenCache(cache, key, () => readRows(dataset));
  const prepared = await prepare({ ...options, encoder, tokenCache });
  detail(`cache      tokens of ${path}: ${tokenCache.outcome}; ${cache.path}`);
  return prepared;
}
