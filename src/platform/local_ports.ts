/**
 * The ports of a run on Deno: files, the hub's cache, a WebGPU engine.
 *
 * @module
 */
import denoConfig from "../../deno.json" with { type: "json" };
import type { Ports } from "../run/ports.ts";
import { openDataset } from "./datasets.ts";
import { openDevice, type Opening } from "./device.ts";
import { defaultCachePath, DiskCache, hashDirectory } from "./disk_cache.ts";
import { EncoderPool } from "./encoder_pool.ts";
import { createDirectory, openDirectory } from "./files.ts";
import { openModelFiles, openStoredModel } from "./models.ts";
import { RunDirectory } from "./run_directory.ts";
import { DiskRuns } from "./run_store.ts";
import { hashTokenSources } from "./token_sources.ts";

/** @param signal What interrupts the run; nothing by default. */
export function localPorts(
  { signal = new AbortController().signal, ...opening }: Opening & { signal?: AbortSignal },
): Ports {
  return {
    signal,
    openModel: openStoredModel,
    openModelFiles,
    openDataset,
    openDirectory,
    openDevice: (options) => openDevice(options, opening),
    openOutput: (path, resume, reportTo) => RunDirectory.open(path, resume, reportTo),
    openRuns: (path) => new DiskRuns(path),
    createDirectory,
    openCache(path, access, warn) {
      const place = path ?? defaultCachePath();
      return place === null ? null : new DiskCache(place, access, warn);
    },
    openEncoder: (workers, tokenizer, options) => new EncoderPool(workers, tokenizer.name, options),
    hashFiles: hashDirectory,
    hashTokenCode: () => hashTokenSources(),
    versions: { smoldpo: denoConfig.version, deno: Deno.version.deno, v8: Deno.version.v8 },
    now: () => new Date(),
  };
}
