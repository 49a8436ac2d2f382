// This module is browser compatible.

/**
 * Model directories in the layout of Hugging Face: `config.json`, weights in `model.safetensors` or in shards that
 * `model.safetensors.index.json` lists, and the tokenizer's files.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import { type LlamaConfig, parseLlamaConfig } from "./config.ts";
import { checkpointTensors } from "./params.ts";
import {
  type Directory,
  type FileReader,
  readChunks,
  type WritableDirectory,
} from "../formats/files.ts";
import { describe, isObject, readJsonObject } from "../formats/json.ts";
import {
  formatShape,
  type NamedTensor,
  readFloat32,
  readSafetensorsHeader,
  type SavedDtype,
  serializeSafetensors,
  type TensorInfo,
} from "../formats/safetensors.ts";

const CONFIG = "config.json";
const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";
const EMBEDDING = "model.embed_tokens.weight";
const HEAD = "lm_head.weight";

/** Files beside the weights that a saved model takes over from the one it came from. */
const COMPANIONS = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "chat_template.jinja",
  "generation_config.json",
];

/** A model on disk, checked and ready to be read tensor by tensor. */
export interface ModelSource {
  config: LlamaConfig;
  directory: Directory;
  /** All tensors that the model needs, with their place. */
  tensors: Map<string, TensorInfo & { file: FileReader }>;
  /** @throws {UserError} If the tensor is of an unsupported dtype or holds a NaN or an infinity. */
  readFloat32(name: string): Promise<Float32Array<ArrayBuffer>>;
  close(): void;
}

/**
 * Opens a model directory. No weights are read yet, but it is certain afterwards that every tensor that `config.json`
 * asks for is there, in the right shape, within its file.
 *
 * @throws {UserError} If a file is missing or malformed, if the model is unsupported, or if weights and configuration
 * do not fit together.
 */
export async function openModel(directory: Directory): Promise<ModelSource> {
  const config = parseLlamaConfig(
    await readJsonObject(directory, CONFIG),
    `${directory.name}/${CONFIG}`,
  );
  const files: FileReader[] = [];
  const close = () => files.forEach((file) => file.close());
  try {
    const tensors = await readHeaders(directory, files);
    await dropTiedHead(config, tensors);
    checkTensors(config, tensors, directory.name);
    const read = (name: string) => {
      const info = tensors.get(name);
      if (info === undefined) throw new RangeError(`This model has no tensor "${name}"`);
      return readFloat32(info.file, name, info);
    };
    return { config, directory, tensors, readFloat32: read, close };
  } catch (error) {
    close();
    throw error;
  }
}

async function readHeaders(
  directory: Directory,
  files: FileReader[],
): Promise<ModelSource["tensors"]> {
  const index = await readIndex(directory);
  const tensors: ModelSource["tensors"] = new Map();
  for (const name of new Set(index?.values() ?? [SINGLE])) {
    const file = await directory.open(name);
    files.push(file);
    for (const [tensor, info] of await readSafetensorsHeader(file)) {
      if (index !== null && index.get(tensor) !== name) {
        throw new UserError(
          `Cannot load "${tensor}": expected ${INDEX} to place it in ${name}, where it is, found ${
            describe(index.get(tensor))
          }`,
        );
      }
      tensors.set(tensor, { ...info, file });
    }
  }
  for (const [tensor, name] of index ?? []) {
    if (!tensors.has(tensor)) {
      throw new UserError(`Cannot load "${tensor}": expected it in ${name}, as ${INDEX} says`);
    }
  }
  return tensors;
}

/** The file of each tensor, or null where the weights are one file. */
async function readIndex(directory: Directory): Promise<Map<string, string> | null> {
  if (await directory.has(SINGLE)) return null;
  if (!await directory.has(INDEX)) {
    const found = (await directory.list()).join(", ") || "nothing";
    throw new UserError(
      `Cannot load ${directory.name}: expected ${SINGLE} or ${INDEX}, found ${found}; other weight formats have to be ` +
        `converted to safetensors`,
    );
  }
  const { weight_map: map } = await readJsonObject(directory, INDEX);
  if (!isObject(map)) {
    throw new UserError(
      `Cannot read ${directory.name}/${INDEX}: expected "weight_map" to be an object, found ${
        describe(map)
      }`,
    );
  }
  for (const [tensor, file] of Object.entries(map)) {
    // Anything but the bare name of a neighbour could reach outside the directory.
    if (typeof file !== "string" || !/^[\w-][\w.-]*\.safetensors$/.test(file)) {
      throw new UserError(
        `Cannot read ${directory.name}/${INDEX}: expected the name of a .safetensors file beside it for "${tensor}", ` +
          `found ${describe(file)}`,
      );
    }
  }
  return new Map(Object.entries(map) as [string, string][]);
}

/** A tied model may store its head a second time; that is fine as long as it is the embedding. */
async function dropTiedHead(config: LlamaConfig, tensors: ModelSource["tensors"]): Promise<void> {
  const head = tensors.get(HEAD), embedding = tensors.get(EMBEDDING);
  if (!config.tieWordEmbeddings || head === undefined || embedding === undefined) return;
  if (!await equalBytes(head, embedding)) {
    throw new UserError(
      `Cannot load "${HEAD}": expected it to equal "${EMBEDDING}" because ${CONFIG} says "tie_word_embeddings": true, ` +
        `found another tensor; set it to false to use the stored head, or remove the head`,
    );
  }
  tensors.delete(HEAD);
}

async function equalBytes(
  a: TensorInfo & { file: FileReader },
  b: TensorInfo & { file: FileReader },
): Promise<boolean> {
  if (a.dtype !== b.dtype || a.end - a.begin !== b.end - b.begin) return false;
  const others = readChunks(b.file, b.begin, b.end);
  for await (const chunk of readChunks(a.file, a.begin, a.end)) {
    const other = (await others.next()).value as Uint8Array;
    if (!chunk.every((byte, i) => byte === other[i])) return false;
  }
  return true;
}

function checkTensors(config: LlamaConfig, tensors: ModelSource["tensors"], name: string): void {
  const remedy = `; check that ${CONFIG} belongs to these weights`;
  const expected = checkpointTensors(config);
  for (const { name, shape } of expected) {
    const found = tensors.get(name)?.shape;
    if (found === undefined || formatShape(found) !== formatShape(shape)) {
      throw new UserError(
        `Cannot load "${name}": expected shape ${formatShape(shape)}, found ${
          found ? formatShape(found) : "no such tensor"
        }${remedy}`,
      );
    }
  }
  const known = new Set(expected.map(({ name }) => name));
  for (const tensor of tensors.keys()) {
    // Old conversions of Llama store this constant of the rotary embedding; it follows from the configuration.
    if (tensor.endsWith(".rotary_emb.inv_freq")) tensors.delete(tensor);
    else if (!known.has(tensor)) {
      throw new UserError(
        `Cannot load ${name}: expected a plain Llama, found tensor "${tensor}"${remedy}`,
      );
    }
  }
}

/** What `saveModel` needs beside configuration and tensors. */
export interface SaveOptions {
  /** Whether the head is the embedding; if not, the tensors must include `lm_head.weight`. */
  tieWordEmbeddings: boolean;
  /** Default F32. */
  dtype?: SavedDtype;
  /** Where the model came from: its tokenizer, chat template and generation settings are copied. */
  companions?: Directory;
}

/**
 * Writes a model directory that this program and Hugging Face transformers load as it is.
 *
 * @param tensors In any order; all that the model needs and no other.
 * @throws {RangeError} If a tensor is missing, unknown, of the wrong shape or not finite.
 * @throws {UserError} If a file cannot be written.
 */
export async function saveModel(
  directory: WritableDirectory,
  config: LlamaConfig,
  tensors: readonly NamedTensor[],
  { tieWordEmbeddings, dtype = "F32", companions }: SaveOptions,
): Promise<void> {
  const expected = new Map(
    checkpointTensors({ ...config, tieWordEmbeddings }).map(({ name, shape }) => [name, shape]),
  );
  for (const { name, shape } of tensors) {
    const wanted = expected.get(name);
    if (wanted === undefined || formatShape(wanted) !== formatShape(shape)) {
      throw new RangeError(
        `Cannot save "${name}": expected ${
          wanted ? `shape ${formatShape(wanted)}` : "no such tensor"
        }, found ${formatShape(shape)}`,
      );
    }
    expected.delete(name);
  }
  if (expected.size > 0) {
    throw new RangeError(`Cannot save the model without ${[...expected.keys()]}`);
  }

  await directory.write(SINGLE, serializeSafetensors(tensors, dtype));
  if (companions !== undefined) await copyCompanions(companions, directory);
  // Last, because a directory without it is no model: one that was cut off in the middle cannot be taken for whole.
  await directory.writeText(CONFIG, configText(config, tieWordEmbeddings, dtype));
}

async function copyCompanions(from: Directory, to: WritableDirectory): Promise<void> {
  for (const name of COMPANIONS) {
    if (!await from.has(name)) continue;
    const file = await from.open(name);
    try {
      await to.write(name, readChunks(file));
    } finally {
      file.close();
    }
  }
}

function configText(config: LlamaConfig, tieWordEmbeddings: boolean, dtype: SavedDtype): string {
  const { torch_dtype: _old, dtype: _new, ...kept } = config.raw;
  const json = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    ...kept,
    tie_word_embeddings: tieWordEmbeddings,
    torch_dtype: { F32: "float32", F16: "float16", BF16: "bfloat16" }[dtype],
  };
  return JSON.stringify(json, null, 2) + "\n";
}
