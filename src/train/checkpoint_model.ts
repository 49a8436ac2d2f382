// This module is browser compatible.

/**
 * A checkpoint as a model to run: what was trained comes from it, all else from the model that the training began with.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import type { Directory } from "../formats/files.ts";
import { describe, isObject, readJsonObject } from "../formats/json.ts";
import { readSafetensorsHeader } from "../formats/safetensors.ts";
import { formatShape } from "../formats/tensor_data.ts";
import { type AdapterShape, adapterTable } from "../model/adapter.ts";
import { adaptModel } from "../model/adapter_files.ts";
import { type ModelSource, readersOf } from "../model/directory.ts";
import { type ParameterSpec, parameterTable } from "../model/params.ts";
import type { StoredTensor } from "../model/weight_files.ts";
import { MANIFEST, STATE, TENSORS } from "./checkpoint.ts";
import { identifyConfig, type IdentifyModel, isIdentity, type ModelIdentity } from "./identity.ts";

const F32_BYTES = 4;

/** Whether a folder is a checkpoint, as `saveCheckpoint` writes it. */
export function isCheckpoint(directory: Directory): Promise<boolean> {
  return directory.has(MANIFEST);
}

/**
 * @param directory Of the checkpoint.
 * @param open Opens the model that the training began with, by the name that the training had for it.
 * @param identify Called where weights of that model are used: they must be those of then.
 * @throws {UserError} If the checkpoint is malformed, or is of another model.
 */
export async function openCheckpointModel(
  directory: Directory,
  open: (model: string) => Promise<ModelSource>,
  identify: IdentifyModel,
): Promise<ModelSource> {
  const state = await readJsonObject(directory, STATE);
  const { name: began, identity } = originOf(directory, state);
  const check = (part: keyof ModelIdentity, found: string) => {
    if (identity === null || found === identity[part]) return;
    throw new UserError(
      `Cannot load ${directory.name}: expected ${began} with the ${part} that the training began with, SHA-256 ${
        identity[part]
      }, found ${found}: bring the model of then back to ${began}`,
    );
  };
  const source = await open(began);
  const file = await directory.open(TENSORS);
  const close = () => {
    file.close();
    source.close();
  };
  try {
    check("config", await identifyConfig(source.config));
    const trained = await readSafetensorsHeader(file);
    // A head of its own that a tied model was given.
    const untied = trained.has("lm_head") && source.config.tieWordEmbeddings;
    const config = untied ? { ...source.config, tieWordEmbeddings: false } : source.config;
    const adapter = adapterOf(directory, state.adapter);
    const table = adapter ? adapterTable(config, adapter) : parameterTable(config);
    const parts = new Map<string, StoredTensor>();
    for (const spec of table) {
      const info = trained.get(spec.name);
      if (info === undefined) continue; // frozen
      checkShape(directory, spec, info.shape);
      const rowBytes = F32_BYTES * (spec.shape[1] ?? 1);
      for (const { name, shape, firstRow } of spec.checkpoint) {
        const begin = info.begin + firstRow * rowBytes;
        const end = begin + shape[0] * rowBytes;
        parts.set(name, { file, dtype: "F32", shape, begin, end });
      }
    }
    if (adapter) {
      const base = source.adapted?.base ?? source;
      if (identity) check("weights", (await identify(source)).weights);
      const names = { adapter: directory.name, base: source.adapted?.name ?? began };
      const adapted = adaptModel(base, { shape: adapter, tensors: parts }, names, source.directory);
      return { ...adapted, close };
    }
    const tensors = new Map([...source.tensors, ...parts]);
    const own = readersOf(parts);
    const isUsed = [...source.tensors.keys()].some((name) => !parts.has(name));
    if (isUsed && identity) check("weights", (await identify(source)).weights);
    const note =
      `${parts.size} of ${tensors.size} tensors of ${directory.name}, others of ${began}` +
      (isUsed && !identity ? ", unverified: the checkpoint does not say which weights it had" : "");
    return {
      config,
      directory: source.directory,
      tensors,
      notes: [...source.notes, note],
      readFloat32: (name) => (parts.has(name) ? own : source).readFloat32(name),
      readChunks: (name) => (parts.has(name) ? own : source).readChunks(name),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/**
 * The model that a training began with: its name, and what it was. Earlier versions of this program did not write down the
 * latter, and kept the name in its place.
 */
function originOf(
  directory: Directory,
  { source, fingerprint }: Record<string, unknown>,
): { name: string; identity: ModelIdentity | null } {
  const model = isObject(fingerprint) ? fingerprint.model : undefined;
  if (typeof model === "string") return { name: model, identity: null };
  if (typeof source === "string" && isIdentity(model)) return { name: source, identity: model };
  throw new UserError(
    `Cannot load ${directory.name}: expected ${STATE} to name the model that the training began with, found ${
      describe(source)
    }`,
  );
}

/** What a checkpoint of adapters says of them, as JSON. */
export function adapterState({ rank, alpha, rslora, matrices }: AdapterShape) {
  return { rank, alpha, rslora, matrices: [...matrices] };
}

/** Reads {@link adapterState}; null where the checkpoint is of no adapters. */
function adapterOf(directory: Directory, state: unknown): AdapterShape | null {
  if (state === undefined) return null;
  const { rank, alpha, rslora, matrices } = isObject(state) ? state : {};
  const isRight = typeof rank === "number" && typeof alpha === "number" &&
    typeof rslora === "boolean" && Array.isArray(matrices);
  if (isRight) return { rank, alpha, rslora, matrices: new Set(matrices.map(String)) };
  throw new UserError(
    `Cannot load ${directory.name}: expected "adapter" in ${STATE} to describe adapters, found ${
      describe(state)
    }`,
  );
}

function checkShape(directory: Directory, { name, shape }: ParameterSpec, found: number[]): void {
  if (formatShape(found) === formatShape(shape)) return;
  throw new UserError(
    `Cannot load "${name}" of ${directory.name}: expected shape ${formatShape(shape)}, found ${
      formatShape(found)
    }; check that the model that the training began with is still the same`,
  );
}
