// This module is browser compatible.

/**
 * Writing models in the layout of Hugging Face.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import { type Directory, readChunks, type WritableDirectory } from "../formats/files.ts";
import { isObject } from "../formats/json.ts";
import { type NamedTensor, serializeSafetensors } from "../formats/safetensors.ts";
import { BITS, countElements, formatShape, type SavedDtype } from "../formats/tensor_data.ts";
import type { ModelConfig } from "./config.ts";
import { CONFIG } from "./directory.ts";
import { checkpointTensors } from "./params.ts";
import { INDEX, SINGLE } from "./weight_files.ts";

/** Numbers of saved weights by their names as flags. */
export const SAVED_DTYPES = { f32: "F32", bf16: "BF16", f16: "F16" } as const;

const GENERATION_CONFIG = "generation_config.json";

/** Files beside the weights that a saved model takes over from the one it came from. */
const COMPANIONS = [
  "tokenizer.json",
  "tokenizer.model",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "chat_template.jinja",
  GENERATION_CONFIG,
];

/** Above this, weights are split into several files, as Hugging Face's libraries do. */
const MAX_SHARD_BYTES = 5e9;

/** What `saveModel` needs beside configuration and tensors. */
export interface SaveOptions {
  /** Whether the head is the embedding; if not, the tensors must include `lm_head.weight`. */
  tieWordEmbeddings: boolean;
  /** Default F32. */
  dtype?: SavedDtype;
  /** Most bytes of weights in one file; a tensor is never split. Default 5 GB. */
  maxShardBytes?: number;
  /** Where the model came from: its tokenizer, chat template and generation settings are copied. */
  companions?: Directory;
}

/**
 * Writes a model directory that this program and Hugging Face transformers load as it is.
 *
 * @param tensors In any order; all that the model needs and no other.
 * @throws {RangeError} If a tensor is missing, unknown, of the wrong shape or not finite.
 * @throws {UserError} If a file cannot be written, or a value exceeds the range of `dtype`.
 */
export async function saveModel(
  directory: WritableDirectory,
  config: ModelConfig,
  tensors: readonly NamedTensor[],
  { tieWordEmbeddings, dtype = "F32", maxShardBytes = MAX_SHARD_BYTES, companions }: SaveOptions,
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

  await writeWeights(directory, tensors, dtype, maxShardBytes);
  if (companions !== undefined) await copyCompanions(companions, directory);
  if (!await directory.has(GENERATION_CONFIG)) {
    await directory.writeText(GENERATION_CONFIG, generationConfigText(config));
  }
  // Last, because a directory without it is no model: one that was cut off in the middle cannot be taken for whole.
  await directory.writeText(CONFIG, configText(config, tieWordEmbeddings, dtype));
}

async function writeWeights(
  directory: WritableDirectory,
  tensors: readonly NamedTensor[],
  dtype: SavedDtype,
  maxShardBytes: number,
): Promise<void> {
  const shards = split(tensors, dtype, maxShardBytes);
  if (shards.length === 1) {
    return await directory.write(SINGLE, serializeSafetensors(tensors, dtype));
  }
  const map: Record<string, string> = {};
  for (const [i, shard] of shards.entries()) {
    const number = (n: number) => String(n).padStart(5, "0");
    const file = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
    await directory.write(file, serializeSafetensors(shard, dtype));
    for (const { name } of shard) map[name] = file;
  }
  const totalBytes = tensors.reduce((sum, tensor) => sum + bytesOf(tensor, dtype), 0);
  const index = { metadata: { total_size: totalBytes }, weight_map: map };
  await directory.writeText(INDEX, `${JSON.stringify(index, null, 2)}\n`);
}

/** Fills one shard after the other, in the order of the tensors. */
function split(
  tensors: readonly NamedTensor[],
  dtype: SavedDtype,
  maxBytes: number,
): NamedTensor[][] {
  const shards: NamedTensor[][] = [[]];
  let filled = 0;
  for (const tensor of tensors) {
    const bytes = bytesOf(tensor, dtype);
    if (filled > 0 && filled + bytes > maxBytes) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1)!.push(tensor);
    filled += bytes;
  }
  return shards;
}

function bytesOf({ shape }: NamedTensor, dtype: SavedDtype): number {
  return countElements(shape) * BITS.get(dtype)! / 8;
}

/** Copies what stands beside the weights of a model: tokenizer, chat template, generation settings. */
export async function copyCompanions(from: Directory, to: WritableDirectory): Promise<void> {
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

function configText(config: ModelConfig, tieWordEmbeddings: boolean, dtype: SavedDtype): string {
  const { torch_dtype: _old, dtype: _new, ...kept } = config.raw;
  const json = {
    architectures: [config.architecture.className],
    model_type: config.architecture.modelType,
    ...kept,
    ...ropeFields(config),
    tie_word_embeddings: tieWordEmbeddings,
    torch_dtype: { F32: "float32", F16: "float16", BF16: "bfloat16" }[dtype],
  };
  return JSON.stringify(json, null, 2) + "\n";
}

/**
 * Rotary embeddings in the spelling of transformers 4 beside that of 5, where a model came in the latter, which 4 does not know:
 * it would take a theta of 10,000.
 */
function ropeFields({ ropeTheta, ropeScaling, raw }: ModelConfig): Record<string, unknown> {
  if (!isObject(raw.rope_parameters)) return {};
  const old = isObject(raw.rope_scaling) && Object.keys(raw.rope_scaling).length > 0;
  const { rope_theta: _theta, ...parameters } =
    (old ? raw.rope_scaling : raw.rope_parameters) as Record<string, unknown>;
  return {
    rope_theta: ropeTheta,
    rope_scaling: ropeScaling === null ? null : parameters,
    rope_parameters: ropeScaling === null
      ? { rope_type: "default", rope_theta: ropeTheta }
      : { ...parameters, rope_theta: ropeTheta },
  };
}

/** What transformers makes of a configuration where there is no such file: which tokens begin and end a text. */
function generationConfigText({ raw }: ModelConfig): string {
  const { bos_token_id, eos_token_id, pad_token_id } = raw;
  const json = { _from_model_config: true, bos_token_id, eos_token_id, pad_token_id };
  return `${JSON.stringify(json, null, 2)}\n`;
}

/**
 * The number of bytes in a text such as `5GB`, `500MB` or `1000`, as Hugging Face's `max_shard_size` takes it.
 *
 * @throws {UserError} If it is no such text.
 */
export function parseByteSize(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?) *([KMG]?)B?$/i.exec(text) ?? [];
  const bytes = Number(number) * 1000 ** ["", "K", "M", "G"].indexOf(unit?.toUpperCase());
  if (!(bytes >= 1)) {
    throw new UserError(`Expected --max-shard-size such as 5GB or 500MB, found "${text}"`);
  }
  return bytes;
}
