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
import { type ModelSource, readersOf } from "../model/directory.ts";
import { type ParameterSpec, parameterTable } from "../model/params.ts";
import type { StoredTensor } from "../model/weight_files.ts";
import { MANIFEST, STATE, TENSORS } from "./checkpoint.ts";

const F32_BYTES = 4;

/** Whether a folder is a checkpoint, as `saveCheckpoint` writes it. */
export function isCheckpoint(directory: Directory): Promise<boolean> {
  return directory.has(MANIFEST);
}

/**
 * @param directory Of the checkpoint.
 * @param open Opens the model that the training began with, by the name that the training had for it.
 * @throws {UserError} If the checkpoint is malformed, or is of another model.
 */
export async function openCheckpointModel(
  directory: Directory,
  open: (model: string) => Promise<ModelSource>,
): Promise<ModelSource> {
  const { fingerprint } = await readJsonObject(directory, STATE);
  const began = isObject(fingerprint) ? fingerprint.model : undefined;
  if (typeof began !== "string") {
    throw new UserError(
      `Cannot load ${directory.name}: expected ${STATE} to name the model that the training began with, found ${
        describe(began)
      }`,
    );
  }
  const source = await open(began);
  const file = await directory.open(TENSORS);
  const close = () => {
    file.close();
    source.close();
  };
  try {
    const trained = await readSafetensorsHeader(file);
    // A head of its own that a tied model was given.
    const untied = trained.has("lm_head") && source.config.tieWordEmbeddings;
    const config = untied ? { ...source.config, tieWordEmbeddings: false } : source.config;
    const parts = new Map<string, StoredTensor>();
    for (const spec of parameterTable(config)) {
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
    const tensors = new Map([...source.tensors, ...parts]);
    const note =
      `${parts.size} of ${tensors.size} tensors of ${directory.name}, others of ${began}`;
    return {
      config,
      directory: source.directory,
      tensors,
      notes: [...source.notes, note],
      ...readersOf(tensors),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

function checkShape(directory: Directory, { name, shape }: ParameterSpec, found: number[]): void {
  if (formatShape(found) === formatShape(shape)) return;
  throw new UserError(
    `Cannot load "${name}" of ${directory.name}: expected shape ${formatShape(shape)}, found ${
      formatShape(found)
    }; check that the model that the training began with is still the same`,
  );
}
