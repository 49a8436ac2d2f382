// This module is browser compatible.

/**
 * Reading models: directories in the layout of Hugging Face, with `config.json`, weights and the tokenizer's files, or
 * one file of weights with a configuration from beside it or from elsewhere.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import { type Directory, readChunks } from "../formats/files.ts";
import { readJsonObject } from "../formats/json.ts";
import { formatShape, readFloat32, readFloat32Chunks } from "../formats/tensor_data.ts";
import type { Adapter } from "./adapter.ts";
import { type ModelConfig, parseModelConfig } from "./config.ts";
import { checkpointTensors } from "./params.ts";
import { openWeights, type StoredTensor, type WeightFiles } from "./weight_files.ts";

/** Name of the configuration in a model directory. */
export const CONFIG = "config.json";
const EMBEDDING = "model.embed_tokens.weight";
const HEAD = "lm_head.weight";

/** A model on disk, checked and ready to be read tensor by tensor. */
export interface ModelSource {
  config: ModelConfig;
  /** Where configuration and tokenizer are. */
  directory: Directory;
  /** All tensors that the model needs, with their place. */
  tensors: Map<string, StoredTensor>;
  /** What was not as transformers saves it, and how it was read, a line each. */
  notes: string[];
  /** @throws {UserError} If the tensor is of an unsupported dtype or holds a NaN or an infinity. */
  readFloat32(name: string): Promise<Float32Array<ArrayBuffer>>;
  /** {@link readFloat32} in row-major pieces of a few MiB. */
  readChunks(name: string): AsyncIterable<Float32Array<ArrayBuffer>>;
  /** Where it is a model with adapters, which are merged as weights are read: those, and the model without them. */
  adapted?: {
    adapter: Adapter;
    base: ModelSource;
    /** How the adapters name it. */
    name: string;
  };
  close(): void;
}

/** What may be said of a model besides its directory. */
export interface OpenModelOptions {
  /** The file of the directory that holds the weights, where it is not the usual one. */
  file?: string | null;
  /** Where configuration and tokenizer are, where they are not beside the weights. */
  configFrom?: Directory | null;
}

/**
 * Opens a model. No weights are read yet, but it is certain afterwards that every tensor that `config.json` asks for is
 * there, in the right shape, within its file.
 *
 * @throws {UserError} If a file is missing or malformed, if the model is unsupported, or if weights and configuration
 * do not fit together.
 */
export async function openModel(
  directory: Directory,
  { file = null, configFrom = null }: OpenModelOptions = {},
): Promise<ModelSource> {
  const companions = configFrom ?? directory;
  await refuseAdapter(directory, file);
  if (configFrom === null && !await directory.has(CONFIG)) throw await noConfig(directory, file);
  const stated = await readConfig(companions);
  const { tensors, notes, close } = await openWeights(directory, file);
  try {
    const config = await settleHead(stated, tensors, notes, configFrom !== null);
    checkTensors(config, tensors, directory.name);
    return { config, directory: companions, tensors, notes, ...readersOf(tensors), close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Name of what makes a folder an adapter, in PEFT's format; see adapter_files.ts. */
export const ADAPTER_CONFIG = "adapter_config.json";

/** An adapter changes what a model says: one is loaded with its model, or not at all. */
async function refuseAdapter(directory: Directory, file: string | null): Promise<void> {
  const isMeant = file === null || file.startsWith("adapter_");
  if (!isMeant || !await directory.has(ADAPTER_CONFIG)) return;
  const { base_model_name_or_path: base } = await readJsonObject(directory, ADAPTER_CONFIG);
  const of = typeof base === "string" && base !== "" ? ` of ${base}` : "";
  throw new UserError(
    `Cannot load ${directory.name}: expected a whole model, found an adapter${of} (${ADAPTER_CONFIG}): name its folder, and ` +
      "no --config-from, and it is loaded with its model",
  );
}

/** How the tensors of a {@link ModelSource} are read. */
export function readersOf(
  tensors: ModelSource["tensors"],
): Pick<ModelSource, "readFloat32" | "readChunks"> {
  const stored = (name: string) => {
    const info = tensors.get(name);
    if (info === undefined) throw new RangeError(`This model has no tensor "${name}"`);
    return info;
  };
  return {
    readFloat32: (name) => readFloat32(stored(name).file, name, stored(name)),
    readChunks: (name) => readFloat32Chunks(stored(name).file, name, stored(name)),
  };
}

/**
 * Reads the configuration of a model directory.
 *
 * @throws {UserError} As {@link parseModelConfig}, or if the file is missing.
 */
export async function readConfig(directory: Directory): Promise<ModelConfig> {
  const json = await readJsonObject(directory, CONFIG);
  return parseModelConfig(json, `${directory.name}/${CONFIG}`);
}

/** Says what can be told of weights without a configuration, so that one can be found that fits. */
async function noConfig(directory: Directory, file: string | null): Promise<UserError> {
  const path = file === null ? directory.name : `${directory.name}/${file}`;
  const weights = await openWeights(directory, file).catch((error) => {
    if (error instanceof UserError) return null; // then the configuration is not all that is missing
    throw error;
  });
  weights?.close();
  const shape = weights && shapeInWords(weights);
  return new UserError(
    `Cannot load ${path}: expected ${CONFIG} beside the weights, found none; ` +
      (shape
        ? `they are of ${shape}: "deno task convert --model ${path} --config-from MODEL --output DIR" takes configuration ` +
          "and tokenizer from a model of that shape"
        : "name a model directory"),
  );
}

function shapeInWords({ tensors }: WeightFiles): string | null {
  const embedding = tensors.get(EMBEDDING)?.shape;
  if (embedding?.length !== 2) return null;
  const layers = [...tensors.keys()].map((name) => /^model\.layers\.(\d+)\./.exec(name)?.[1]);
  const count = 1 + Math.max(-1, ...layers.map((layer) => Number(layer ?? -1)));
  return `${count} layers, hidden size ${embedding[1]} and ${embedding[0]} tokens`;
}

/**
 * A tied model may store its head a second time; that is fine as long as it is the embedding. Where the configuration is
 * another model's, the weights know better whether the head is tied.
 */
async function settleHead(
  config: ModelConfig,
  tensors: WeightFiles["tensors"],
  notes: string[],
  borrowed: boolean,
): Promise<ModelConfig> {
  const head = tensors.get(HEAD), embedding = tensors.get(EMBEDDING);
  if (config.tieWordEmbeddings && head !== undefined && embedding === undefined) {
    // Of tensors that are one, some programs store only the first by name.
    tensors.set(EMBEDDING, head);
    tensors.delete(HEAD);
    notes.push(`${HEAD} as ${EMBEDDING} too, for they are tied`);
    return config;
  }
  if (!config.tieWordEmbeddings || head === undefined || embedding === undefined) return config;
  if (await equalTensors(head, embedding)) {
    tensors.delete(HEAD);
    return config;
  }
  if (borrowed) {
    notes.push(
      `${HEAD} is not the embedding: taken as a head of its own, against the configuration`,
    );
    return { ...config, tieWordEmbeddings: false };
  }
  throw new UserError(
    `Cannot load "${HEAD}": expected it to equal "${EMBEDDING}" because ${CONFIG} says "tie_word_embeddings": true, ` +
      `found another tensor; set it to false to use the stored head, or remove the head`,
  );
}

async function equalTensors(a: StoredTensor, b: StoredTensor): Promise<boolean> {
  if (a.dtype !== b.dtype || a.end - a.begin !== b.end - b.begin) return false;
  if (formatShape(a.shape) !== formatShape(b.shape)) return false;
  if (formatShape(a.strides ?? []) !== formatShape(b.strides ?? [])) return false;
  if (a.file === b.file && a.begin === b.begin) return true;
  const others = readChunks(b.file, b.begin, b.end);
  for await (const chunk of readChunks(a.file, a.begin, a.end)) {
    const other = (await others.next()).value as Uint8Array<ArrayBuffer>;
    if (!equalBytes(chunk, other)) return false;
  }
  return true;
}

/** Compares chunks of the same length that begin at a word: by words, four times as fast as by bytes. */
function equalBytes(a: Uint8Array<ArrayBuffer>, b: Uint8Array<ArrayBuffer>): boolean {
  const words = a.length >> 2;
  const [left, right] = [a, b].map(({ buffer }) => new Uint32Array(buffer, 0, words));
  for (let i = 0; i < words; i++) if (left[i] !== right[i]) return false;
  for (let i = 4 * words; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Tables of the rotary embedding that some programs store; they follow from the configuration. */
const CONSTANTS =
  /(?:^|\.)(?:rotary_emb\.(?:inv_freq|original_inv_freq|cos_cached|sin_cached)|freqs_(?:cis|cos|sin))$/;

function checkTensors(config: ModelConfig, tensors: WeightFiles["tensors"], name: string): void {
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
    if (CONSTANTS.test(tensor)) tensors.delete(tensor);
    else if (!known.has(tensor)) {
      throw new UserError(
        `Cannot load ${name}: expected only the tensors of a ${config.architecture.className} as ${CONFIG} describes it, found tensor "${tensor}"${remedy}`,
      );
    }
  }
}
