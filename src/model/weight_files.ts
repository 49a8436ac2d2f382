// This module is browser compatible.

/**
 * Finding the weights of a model: the file or the shards that hold them, and every tensor's place.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import type { Directory, FileReader } from "../formats/files.ts";
import { describe, isObject, readJsonObject } from "../formats/json.ts";
import { readSafetensorsHeader } from "../formats/safetensors.ts";
import type { TensorInfo } from "../formats/tensor_data.ts";
import { readTorchHeader } from "../formats/torch.ts";
import { canonicalNames } from "./state_dict.ts";

/** Weights in one file, and the index of weights in several. */
export const SINGLE = "model.safetensors", INDEX = "model.safetensors.index.json";
const TORCH_SINGLE = "pytorch_model.bin", TORCH_INDEX = "pytorch_model.bin.index.json";

/** A tensor and the file that it is in. */
export interface StoredTensor extends TensorInfo {
  file: FileReader;
}

/** The tensors of a model by their names in transformers. */
export interface WeightFiles {
  tensors: Map<string, StoredTensor>;
  /** What was not as transformers saves it, a line each. */
  notes: string[];
  close(): void;
}

/**
 * Opens the weights of a directory and reads where their tensors are.
 *
 * @param file The file to take; without one, safetensors go before PyTorch's files.
 * @throws {UserError} If there are none, or a file is malformed.
 */
export async function openWeights(directory: Directory, file: string | null): Promise<WeightFiles> {
  const files: FileReader[] = [];
  const close = () => files.forEach((opened) => opened.close());
  try {
    const place = file === null ? await findFiles(directory) : { names: [file], index: null };
    const tensors = new Map<string, StoredTensor>();
    const notes: string[] = [];
    for (const name of place.names) {
      const opened = await directory.open(name);
      files.push(opened);
      for (const [tensor, info] of await readHeader(opened, notes)) {
        const other = tensors.get(tensor);
        // What an index says of a tensor decides where two files have it; else the files say what they hold.
        const placed = place.index?.map.get(tensor);
        if (other !== undefined && placed !== name && placed !== baseName(other)) {
          throw new UserError(
            `Cannot load "${tensor}": expected it in one file, found it in ${other.file.name} and ${opened.name}`,
          );
        }
        if (other === undefined || placed === name) tensors.set(tensor, { ...info, file: opened });
      }
    }
    const missing = [...place.index?.map.keys() ?? []].filter((tensor) => !tensors.has(tensor));
    if (missing.length > 0) {
      const [first, ...others] = missing;
      const more = others.length > 0 ? ` and ${others.length} more` : "";
      notes.push(`${place.index!.name} names ${first}${more}, which no file holds`);
    }
    return { tensors: rename(withoutAliases(tensors, notes), notes), notes, close };
  } catch (error) {
    close();
    throw error;
  }
}

const baseName = ({ file }: StoredTensor) => file.name.slice(file.name.lastIndexOf("/") + 1);

const isSamePlace = (a: StoredTensor, b: StoredTensor) =>
  a.file === b.file && a.begin === b.begin && a.end === b.end &&
  `${a.shape} ${a.strides}` === `${b.shape} ${b.strides}`;

/** A module that a program knows by two names is stored once, and named twice: the names of most tensors stay, else the shorter. */
function withoutAliases(
  tensors: Map<string, StoredTensor>,
  notes: string[],
): Map<string, StoredTensor> {
  const ending = "embed_tokens.weight";
  const decoderOf = (name: string) => name.slice(0, -ending.length);
  const sizeOf = (name: string) =>
    [...tensors.keys()].filter((other) => other.startsWith(`${decoderOf(name)}layers.`)).length;
  const embeddings = [...tensors].filter(([name]) => `.${name}`.endsWith(`.${ending}`))
    .sort(([a], [b]) => sizeOf(b) - sizeOf(a) || a.length - b.length);
  const kept = new Map(tensors);
  for (const [name, embedding] of embeddings.slice(1)) {
    const [[first, original]] = embeddings;
    if (!isSamePlace(embedding, original)) continue;
    const [prefix, firstPrefix] = [name, first].map(decoderOf);
    for (const [other, tensor] of tensors) {
      const same = other.startsWith(prefix) &&
        tensors.get(firstPrefix + other.slice(prefix.length));
      if (same && same !== tensor && isSamePlace(same, tensor)) kept.delete(other);
    }
    notes.push(`${prefix}* is ${firstPrefix}* by another name`);
  }
  return kept;
}

function rename(tensors: Map<string, StoredTensor>, notes: string[]): Map<string, StoredTensor> {
  const { names, rule } = canonicalNames(tensors.keys());
  if (rule !== null) notes.push(`reading ${rule}`);
  const renamed = new Map<string, StoredTensor>();
  for (const [name, tensor] of tensors) {
    const canonical = names.get(name)!;
    const other = renamed.get(canonical);
    if (other !== undefined && !isSamePlace(other, tensor)) {
      throw new UserError(
        `Cannot load "${name}": expected one tensor for ${canonical}, found another one in ${tensor.file.name}`,
      );
    }
    renamed.set(canonical, tensor);
  }
  return renamed;
}

async function readHeader(file: FileReader, notes: string[]): Promise<Map<string, TensorInfo>> {
  if (file.name.endsWith(".safetensors")) return await readSafetensorsHeader(file);
  const { tensors, wrapper, others } = await readTorchHeader(file);
  const under = wrapper === null ? "" : ` under "${wrapper}"`;
  const beside = others.length === 0 ? "" : `, beside ${others.slice(0, 8).join(", ")}`;
  notes.push(`${tensors.size} tensors of PyTorch${under}${beside} in ${file.name}`);
  return tensors;
}

interface Index {
  name: string;
  /** The file of each tensor. */
  map: Map<string, string>;
}

async function findFiles(directory: Directory): Promise<{ names: string[]; index: Index | null }> {
  for (const [single, indexName] of [[SINGLE, INDEX], [TORCH_SINGLE, TORCH_INDEX]]) {
    if (await directory.has(single)) return { names: [single], index: null };
    if (!await directory.has(indexName)) continue;
    const index = await readIndex(directory, indexName, single.slice(single.lastIndexOf(".")));
    return { names: [...new Set(index.map.values())], index };
  }
  const found = (await directory.list()).join(", ") || "nothing";
  throw new UserError(
    `Cannot load ${directory.name}: expected ${SINGLE}, ${INDEX} or ${TORCH_SINGLE}, found ${found}; a file of weights ` +
      "with another name can be named itself",
  );
}

async function readIndex(directory: Directory, name: string, suffix: string): Promise<Index> {
  const { weight_map: map } = await readJsonObject(directory, name);
  if (!isObject(map)) {
    throw new UserError(
      `Cannot read ${directory.name}/${name}: expected "weight_map" to be an object, found ${
        describe(map)
      }`,
    );
  }
  const places = new Map<string, string>();
  for (const [tensor, file] of Object.entries(map)) {
    // Anything but the bare name of a neighbour could reach outside the directory.
    const bare = typeof file === "string" ? file.replace(/^\.\//, "") : "";
    // deno-lint-ignore no-control-regex -- no name of a file has them
    if (!/^[^./\\:\x00-\x1f][^/\\:\x00-\x1f]*$/.test(bare) || !bare.endsWith(suffix)) {
      throw new UserError(
        `Cannot read ${directory.name}/${name}: expected the name of a ${suffix} file beside it for "${tensor}", ` +
          `found ${describe(file)}`,
      );
    }
    places.set(tensor, bare);
  }
  return { name, map: places };
}
