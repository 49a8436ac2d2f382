/**
 * Models where the command line names them, on Deno.
 *
 * @module
 */

import { basename, dirname } from "node:path";
import { UserError } from "../errors.ts";
import type { Directory } from "../formats/files.ts";
import { type ModelSource, openModel } from "../model/directory.ts";
import type { StoredModel } from "../run/ports.ts";
import { readStopIds } from "../text/stop_tokens.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { isCheckpoint, openCheckpointModel } from "../train/checkpoint_model.ts";
import { identifyConfig, type ModelIdentity } from "../train/identity.ts";
import { hashFiles } from "./disk_cache.ts";
import { openDirectory } from "./files.ts";
import { locate } from "./hub/cache.ts";

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
  if (file === null && configFrom === null && await isCheckpoint(directory)) {
    return await openCheckpointModel(directory, openModelAt, identifyModel);
  }
  const companions = configFrom === null ? null : (await locateModel(configFrom)).directory;
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
    let identified: Promise<ModelIdentity> | undefined;
    const identity = () => identified ??= identifyModel(model);
    const [read, dispose] = [model.readChunks, model.close];
    const text = { tokenizer, stopIds };
    return { config, read, directory, ...text, identity, notes, [Symbol.dispose]: dispose };
  } catch (error) {
    model.close();
    throw error;
  }
}
