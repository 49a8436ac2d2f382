/**
 * Models where the command line names them, on Deno.
 *
 * @module
 */

import { basename, dirname } from "node:path";
import { UserError } from "../errors.ts";
import type { Directory } from "../formats/files.ts";
import { readJsonObject } from "../formats/json.ts";
import { adaptModel, isAdapter, openAdapter, overlay } from "../model/adapter_files.ts";
import { ADAPTER_CONFIG, type ModelSource, openModel } from "../model/directory.ts";
import type { StoredModel } from "../run/ports.ts";
import { readStopIds } from "../text/stop_tokens.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { isCheckpoint, openCheckpointModel } from "../train/checkpoint_model.ts";
import { identifyConfig, isIdentity, type ModelIdentity } from "../train/identity.ts";
import { hashFiles } from "./disk_cache.ts";
import { openDirectory } from "./files.ts";
import { locate } from "./hub/cache.ts";

/** The record of a run, beside what it trained. */
const RUN = "run.json";

/** Where a model is. */
export interface ModelPlace {
  directory: Directory;
  /** The file of weights that was named, or null where the directory was. */
  file: string | null;
  /** Whether it is in the hub's cache, as far as it was downloaded. */
  cached: boolean;
}

/**
 * @param pathOrId A model directory, a checkpoint of a training, a file of weights, or the name of a model on the hub that is in its cache.
 * @throws {UserError} If there is no such thing.
 */
export async function locateModel(pathOrId: string): Promise<ModelPlace> {
  const path = await locate("model", pathOrId);
  const isFile = await Deno.stat(path).then((info) => info.isFile, () => false);
  const cached = path !== pathOrId;
  if (!isFile) return { directory: await openDirectory(path), file: null, cached };
  return { directory: await openDirectory(dirname(path)), file: basename(path), cached };
}

/** {@link IdentifyModel} on Deno. */
export async function identifyModel(
  { config, tensors }: Pick<ModelSource, "config" | "tensors">,
): Promise<ModelIdentity> {
  const files = new Set(Array.from(tensors.values(), ({ file }) => file));
  return { config: await identifyConfig(config), weights: await hashFiles(files) };
}

/**
 * Opens a model to read its weights.
 *
 * @param configFrom The model whose configuration and tokenizer to take, where there are none beside the weights.
 * @throws {UserError} As {@link openModel}.
 */
export async function openModelAt(
  pathOrId: string,
  configFrom: string | null = null,
): Promise<ModelSource> {
  const { directory, file, cached } = await locateModel(pathOrId);
  if (file === null && configFrom === null) {
    if (await isCheckpoint(directory)) {
      return await openCheckpointModel(directory, openModelAt, identifyModel);
    }
    if (await isAdapter(directory)) return await openAdaptedModel(directory);
  }
  const companions = configFrom === null ? null : await openModelFiles(configFrom);
  try {
    return await openModel(directory, { file, configFrom: companions });
  } catch (error) {
    if (!cached || !(error instanceof UserError)) throw error;
    throw new UserError(
      `${error.message}; "deno task download --model ${pathOrId}" completes what is in the cache`,
    );
  }
}

/**
 * Opens an adapter with the model that it names.
 *
 * @throws {UserError} If that is not there, or is not the one that the adapter was trained on.
 */
async function openAdaptedModel(directory: Directory): Promise<ModelSource> {
  const files = await openAdapter(directory);
  const closers = [files.close];
  const close = () => closers.forEach((close) => close());
  try {
    const base = await openModelAt(files.base).catch((error) => {
      if (!(error instanceof UserError)) throw error;
      throw new UserError(
        `Cannot load the adapter ${directory.name}: expected the model ${files.base} that it names in ${ADAPTER_CONFIG}; ${error.message}`,
      );
    });
    closers.push(base.close);
    await checkBase(directory, files.base, base);
    const names = { adapter: directory.name, base: files.base };
    const adapted = adaptModel(base, files, names, await textFilesOf(directory, base.directory));
    return { ...adapted, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** An adapter of this program says which weights its model had. */
async function checkBase(directory: Directory, name: string, base: ModelSource): Promise<void> {
  if (!await directory.has(RUN)) return;
  const { base: then } = await readJsonObject(directory, RUN);
  if (!isIdentity(then)) return;
  const found = await identifyModel(base);
  for (const part of ["config", "weights"] as const) {
    if (found[part] === then[part]) continue;
    throw new UserError(
      `Cannot load the adapter ${directory.name}: expected ${name} with the ${part} that it was trained on, SHA-256 ${
        then[part]
      }, found ${found[part]}: bring the model of then back to ${name}`,
    );
  }
}

/**
 * The files of a model, whose weights need not be there; of an adapter also those of the model that it names.
 *
 * @throws {UserError} If there is no such model.
 */
export async function openModelFiles(pathOrId: string): Promise<Directory> {
  const { directory, file } = await locateModel(pathOrId);
  if (file !== null || !await isAdapter(directory)) return directory;
  const { base, close } = await openAdapter(directory);
  close();
  return await textFilesOf(directory, await openModelFiles(base));
}

/** Where configuration and tokenizer of an adapter are: what is not beside it is its model's. */
async function textFilesOf(adapter: Directory, base: Directory): Promise<Directory> {
  return await adapter.has("tokenizer.json") ? overlay(adapter, base) : base;
}

/**
 * Opens a model with its tokenizer.
 *
 * @param pathOrId As {@link locateModel} takes it.
 * @throws {UserError} As {@link openModel}.
 */
export async function openStoredModel(pathOrId: string): Promise<StoredModel> {
  const model = await openModelAt(pathOrId);
  const { config, directory, notes } = model;
  try {
    const tokenizer = await loadTokenizer(directory);
    const stopIds = await readStopIds(directory, config, tokenizer);
    const identity = once(() => identifyModel(model));
    const { adapted: found } = model;
    const adapted = found && {
      adapter: found.adapter,
      read: found.base.readChunks,
      base: { name: found.name, identity: once(() => identifyModel(found.base)) },
    };
    const [read, dispose] = [model.readChunks, model.close];
    const text = { tokenizer, stopIds };
    return {
      config,
      read,
      directory,
      ...text,
      identity,
      notes,
      adapted,
      [Symbol.dispose]: dispose,
    };
  } catch (error) {
    model.close();
    throw error;
  }
}

/** Calls a function when its result is first asked for. */
function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
