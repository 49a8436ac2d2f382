// This module is browser compatible.

/**
 * Adapters on disk, in PEFT's format: a folder with `adapter_config.json` and `adapter_model.safetensors`, which names the model
 * that it belongs to. Opened with that model, it reads as one with merged weights.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import type { Directory, WritableDirectory } from "../formats/files.ts";
import { describe, readJsonObject } from "../formats/json.ts";
import {
  type NamedTensor,
  readSafetensorsHeader,
  serializeSafetensors,
} from "../formats/safetensors.ts";
import { formatShape, type SavedDtype } from "../formats/tensor_data.ts";
import { adapterScale, type AdapterShape, adapterTable, adapterTensor } from "./adapter.ts";
import type { ModelConfig } from "./config.ts";
import { ADAPTER_CONFIG, type ModelSource, readersOf } from "./directory.ts";
import { parameterTable } from "./params.ts";
import { copyCompanions } from "./save.ts";
import type { StoredTensor } from "./weight_files.ts";

/** The weights of an adapter, beside its settings. */
const ADAPTER_WEIGHTS = "adapter_model.safetensors";

/** Whether a folder is an adapter, as PEFT saves it. */
export function isAdapter(directory: Directory): Promise<boolean> {
  return directory.has(ADAPTER_CONFIG);
}

/** An adapter whose model is not open yet. */
export interface AdapterFiles {
  shape: AdapterShape;
  /** The model that it belongs to, as `base_model_name_or_path` has it. */
  base: string;
  /** Its matrices by PEFT's names. */
  tensors: Map<string, StoredTensor>;
  close(): void;
}

/** Fields of a configuration that say that an adapter is more than LoRA, and the values that do without. */
const PLAIN: Readonly<Record<string, readonly unknown[]>> = {
  peft_type: ["LORA"],
  use_dora: [false],
  bias: ["none"],
  fan_in_fan_out: [false],
  lora_bias: [false],
  rank_pattern: [{}],
  alpha_pattern: [{}],
  modules_to_save: [null, []],
  layer_replication: [null],
  trainable_token_indices: [null],
};

/**
 * Opens an adapter.
 *
 * @throws {UserError} If a file is missing or malformed, or it is another kind of adapter.
 */
export async function openAdapter(directory: Directory): Promise<AdapterFiles> {
  const json = await readJsonObject(directory, ADAPTER_CONFIG);
  const name = `${directory.name}/${ADAPTER_CONFIG}`;
  const expect = (isRight: boolean, field: string, expected: string) => {
    if (isRight) return;
    throw new UserError(
      `Cannot load ${name}: expected "${field}" to be ${expected}, found ${describe(json[field])}`,
    );
  };
  for (const [field, values] of Object.entries(PLAIN)) {
    const found = JSON.stringify(json[field] ?? values[0]);
    const isRight = values.some((value) => JSON.stringify(value) === found);
    expect(isRight, field, `${JSON.stringify(values[0])}, as only plain LoRA is supported`);
  }
  const { r: rank, lora_alpha: alpha, use_rslora: rslora = false } = json;
  const { base_model_name_or_path: base, revision } = json;
  expect(Number.isSafeInteger(rank) && (rank as number) > 0, "r", "a positive whole number");
  expect(typeof alpha === "number" && Number.isFinite(alpha), "lora_alpha", "a number");
  expect(typeof rslora === "boolean", "use_rslora", "true or false");
  expect(typeof base === "string" && base !== "", "base_model_name_or_path", "a model");
  const file = await directory.open(ADAPTER_WEIGHTS);
  try {
    const tensors = new Map<string, StoredTensor>();
    const matrices = new Set<string>();
    for (const [tensor, info] of await readSafetensorsHeader(file)) {
      const [, matrix] = /^base_model\.model\.(.+)\.lora_[AB]\.weight$/.exec(tensor) ?? [];
      if (matrix === undefined) {
        throw new UserError(
          `Cannot load ${directory.name}: expected only tensors such as ${
            adapterTensor("model.layers.0.self_attn.q_proj.weight", "A")
          }, found "${tensor}": only plain LoRA is supported`,
        );
      }
      matrices.add(`${matrix}.weight`);
      tensors.set(tensor, { ...info, file });
    }
    const shape = { rank, alpha, rslora, matrices } as AdapterShape;
    const pinned = typeof revision === "string" ? `${base}@${revision}` : base as string;
    return { shape, base: pinned, tensors, close: () => file.close() };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** What an adapter and its model are called in messages. */
interface Names {
  adapter: string;
  base: string;
}

/**
 * A model with an adapter: its weights are merged while they are read, W + s B A.
 *
 * @param directory Where configuration and tokenizer are.
 * @throws {UserError} If they do not belong together.
 */
export function adaptModel(
  base: ModelSource,
  { shape, tensors }: Pick<AdapterFiles, "shape" | "tensors">,
  names: Names,
  directory = base.directory,
): ModelSource {
  checkFits(base.config, shape, tensors, names);
  const matrices = readersOf(tensors);
  const scale = adapterScale(shape);
  const read = async function* (name: string) {
    if (!shape.matrices.has(name)) return yield* base.readChunks(name);
    const a = await matrices.readFloat32(adapterTensor(name, "A"));
    const b = await matrices.readFloat32(adapterTensor(name, "B"));
    let first = 0;
    for await (const piece of base.readChunks(name)) {
      addProduct(piece, first, b, a, { rank: shape.rank, scale });
      first += piece.length;
      yield piece;
    }
  };
  return {
    config: base.config,
    directory,
    tensors: new Map([...base.tensors, ...tensors]),
    notes: [
      ...base.notes,
      `adapters of ${shape.matrices.size} matrices in ${names.adapter}, over ${names.base}`,
    ],
    readChunks: read,
    async readFloat32(name) {
      if (!shape.matrices.has(name)) return await base.readFloat32(name);
      const pieces = await Array.fromAsync(read(name));
      const whole = new Float32Array(pieces.reduce((sum, { length }) => sum + length, 0));
      let first = 0;
      for (const piece of pieces) {
        whole.set(piece, first);
        first += piece.length;
      }
      return whole;
    },
    adapted: {
      adapter: { ...shape, fresh: false, read: matrices.readChunks },
      base,
      name: names.base,
    },
    close: base.close,
  };
}

function checkFits(
  config: ModelConfig,
  shape: AdapterShape,
  tensors: AdapterFiles["tensors"],
  { adapter, base }: Names,
): void {
  const known = new Set(
    parameterTable(config).flatMap(({ kind, checkpoint }) =>
      kind === "matrix" ? checkpoint.map(({ name }) => name) : []
    ),
  );
  const remedy = `: check that it was trained on ${base}, which it names as its model`;
  for (const matrix of shape.matrices) {
    if (known.has(matrix)) continue;
    throw new UserError(
      `Cannot load ${adapter}: expected adapters of linear layers of ${base}, found some of "${matrix}"${remedy}`,
    );
  }
  for (const { checkpoint } of adapterTable(config, shape)) {
    for (const { name, shape } of checkpoint) {
      const found = tensors.get(name)?.shape;
      if (found && formatShape(found) === formatShape(shape)) continue;
      throw new UserError(
        `Cannot load "${name}" of ${adapter}: expected shape ${formatShape(shape)}, found ${
          found ? formatShape(found) : "no such tensor"
        }${remedy}`,
      );
    }
  }
}

/** Adds rows of s B A to a piece of a matrix that begins with its element `first`. */
function addProduct(
  piece: Float32Array,
  first: number,
  b: Float32Array,
  a: Float32Array,
  { rank, scale }: { rank: number; scale: number },
): void {
  const columns = a.length / rank;
  const sums = new Float64Array(columns);
  for (let at = 0; at < piece.length;) {
    const row = Math.floor((first + at) / columns);
    const begin = (first + at) % columns;
    const end = Math.min(columns, begin + piece.length - at);
    sums.fill(0, begin, end);
    for (let j = 0; j < rank; j++) {
      const factor = b[row * rank + j];
      const offset = j * columns;
      for (let k = begin; k < end; k++) sums[k] += factor * a[offset + k];
    }
    for (let k = begin; k < end; k++) piece[at++] += scale * sums[k];
  }
}

/** The files of one folder, and those of another that it lacks. */
export function overlay(first: Directory, second: Directory): Directory {
  const of = async (file: string) => await first.has(file) ? first : second;
  return {
    name: first.name,
    list: async () => [...new Set([...await first.list(), ...await second.list()])].toSorted(),
    has: async (file) => await first.has(file) || await second.has(file),
    readText: async (file) => await (await of(file)).readText(file),
    open: async (file) => await (await of(file)).open(file),
  };
}

/**
 * Writes adapters as PEFT saves them, with the tokenizer beside them.
 *
 * @param tensors The matrices by PEFT's names.
 * @throws {UserError} If a file cannot be written, or a value exceeds the range of `dtype`.
 */
export async function saveAdapter(
  directory: WritableDirectory,
  config: ModelConfig,
  shape: AdapterShape,
  tensors: readonly NamedTensor[],
  { base, dtype, companions }: { base: string; dtype: SavedDtype; companions: Directory },
): Promise<void> {
  await directory.write(ADAPTER_WEIGHTS, serializeSafetensors(tensors, dtype));
  await copyCompanions(companions, directory);
  // As PEFT has it, a revision of the hub is a field of its own.
  const [, name = base, revision] = /^([\w.-]+\/[\w.-]+)@([\w./-]+)$/.exec(base) ?? [];
  const json = {
    alpha_pattern: {},
    auto_mapping: null,
    base_model_name_or_path: name,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    ...placesOf(config, shape),
    lora_alpha: shape.alpha,
    lora_dropout: 0,
    modules_to_save: null,
    peft_type: "LORA",
    r: shape.rank,
    rank_pattern: {},
    revision: revision ?? null,
    task_type: "CAUSAL_LM",
    use_dora: false,
    use_rslora: shape.rslora,
  };
  // Last, because a folder without it is no adapter.
  await directory.writeText(ADAPTER_CONFIG, `${JSON.stringify(json, null, 2)}\n`);
}

/** Modules and layers with adapters; each matrix by its name where they are not the same in all of the layers. */
function placesOf({ numLayers }: ModelConfig, { matrices }: AdapterShape) {
  const names = Array.from(matrices, (name) => name.replace(/\.weight$/, ""));
  const modules = new Set(names.map((name) => name.split(".").at(-1)!));
  const layers = new Set(names.map((name) => Number(/\.layers\.(\d+)\./.exec(name)![1])));
  if (modules.size * layers.size !== matrices.size) {
    return { target_modules: names, layers_to_transform: null, layers_pattern: null };
  }
  const isAll = layers.size === numLayers;
  return {
    target_modules: [...modules].toSorted(),
    layers_to_transform: isAll ? null : [...layers].toSorted((a, b) => a - b),
    layers_pattern: isAll ? null : "layers",
  };
}
