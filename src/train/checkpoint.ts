// This module is browser compatible.

/**
 * Checkpoints that are whole or not there: a folder `step-N` with `tensors.safetensors`, `state.json` and a manifest of
 * both. It comes into being under another name and is renamed when everything is on the disk, so the process may be
 * killed at any moment. Safetensors and JSON only: loading a checkpoint cannot run code.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import {
  type Chunks,
  type Directory,
  readChunks,
  type WritableDirectory,
} from "../formats/files.ts";
import { describe, isObject, readJsonObject } from "../formats/json.ts";
import {
  type NamedTensor,
  readSafetensorsHeader,
  serializeSafetensors,
} from "../formats/safetensors.ts";
import { readFloat32 } from "../formats/tensor_data.ts";

/** What checkpoints need of storage; `src/platform/checkpoint_storage.ts` implements it on Deno. */
export interface CheckpointStorage {
  /** How messages call the folder. */
  readonly name: string;
  /** The names of finished folders. */
  list(): Promise<string[]>;
  open(name: string): Promise<Directory>;
  /** Fills a new folder and lets it appear under `name` once all of it is safely stored, in place of an older one. */
  create(name: string, fill: (directory: WritableDirectory) => Promise<void>): Promise<void>;
  remove(name: string): Promise<void>;
  sha256: Sha256;
}

/** SHA-256 of a stream of bytes, hexadecimal. Web Crypto has none, and files may be larger than memory. */
export type Sha256 = (chunks: Chunks) => Promise<string>;

/** What a checkpoint holds. */
export interface CheckpointContent {
  /** Weights, optimizer state: whatever is large. All values finite. */
  tensors: readonly NamedTensor[];
  /** Everything else, as JSON. */
  state: Record<string, unknown>;
}

/** A checkpoint whose files are what was written. */
export interface Checkpoint {
  /** Optimizer steps done. */
  step: number;
  state: Record<string, unknown>;
  tensorNames: string[];
  /** Reads a tensor, bit for bit what was saved. */
  readFloat32(name: string): Promise<Float32Array<ArrayBuffer>>;
  close(): void;
}

/** Files of a checkpoint: tensors, everything else, and what both must be. */
export const TENSORS = "tensors.safetensors", STATE = "state.json", MANIFEST = "manifest.json";

/**
 * Saves a checkpoint and removes the oldest ones beyond the limit.
 *
 * @param step Optimizer steps done.
 * @param saveTotalLimit How many checkpoints to keep, this one included; at least 1.
 * @throws {RangeError} If a tensor is not finite: such a state is not worth keeping.
 * @throws {UserError} If the storage fails, for instance on a full disk; older checkpoints are untouched then.
 */
export async function saveCheckpoint(
  storage: CheckpointStorage,
  step: number,
  { tensors, state }: CheckpointContent,
  saveTotalLimit: number,
  kept: number | null = null,
): Promise<void> {
  await storage.create(folderOf(step), async (directory) => {
    await directory.write(TENSORS, serializeSafetensors(tensors));
    await directory.writeText(STATE, JSON.stringify(state, null, 2) + "\n");
    const files = {
      [TENSORS]: await fingerprint(directory, TENSORS, storage.sha256),
      [STATE]: await fingerprint(directory, STATE, storage.sha256),
    };
    await directory.writeText(MANIFEST, JSON.stringify({ step, files }, null, 2) + "\n");
  });
  // Steps beyond this one are from a course of training that was given up, so they are the first to go.
  const age = (other: number) => other > step ? other : step - other;
  const steps = (await stepsIn(storage)).sort((a, b) => age(a) - age(b));
  for (const old of steps.slice(saveTotalLimit).filter((each) => each !== kept)) {
    await storage.remove(folderOf(old));
  }
}

/** Opens the checkpoint of a step. @throws {UserError} If it is missing or damaged. */
export async function openCheckpointOf(
  storage: CheckpointStorage,
  step: number,
): Promise<Checkpoint> {
  return await openCheckpoint(await storage.open(folderOf(step)), storage.sha256);
}

/**
 * Opens the checkpoint with the most steps. Where it is damaged, the one before it is taken.
 *
 * @param warn Told about every damaged checkpoint.
 * @returns null if there is none at all.
 * @throws {UserError} If there are checkpoints, but all are damaged.
 */
export async function openLatestCheckpoint(
  storage: CheckpointStorage,
  warn: (message: string) => void,
): Promise<Checkpoint | null> {
  const steps = (await stepsIn(storage)).sort((a, b) => b - a);
  for (const step of steps) {
    try {
      return await openCheckpoint(await storage.open(folderOf(step)), storage.sha256);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      warn(`${error.message}; falling back to the checkpoint before it`);
    }
  }
  if (steps.length === 0) return null;
  throw new UserError(
    `Cannot resume from ${storage.name}: expected an undamaged checkpoint, found ${steps.length} damaged; ` +
      `train without resuming`,
  );
}

/**
 * Opens the checkpoint in a folder after verifying every byte of it.
 *
 * @throws {UserError} If it is no checkpoint or damaged.
 */
export async function openCheckpoint(
  directory: Directory,
  sha256: Sha256,
): Promise<Checkpoint> {
  const { step, files } = await readJsonObject(directory, MANIFEST);
  if (!Number.isSafeInteger(step) || !isObject(files)) {
    throw damaged(directory, MANIFEST, "a step and files", describe(step));
  }
  for (const name of [TENSORS, STATE]) {
    const expected = JSON.stringify(files[name]);
    const found = JSON.stringify(await fingerprint(directory, name, sha256));
    if (expected !== found) throw damaged(directory, name, expected, found);
  }
  const state = await readJsonObject(directory, STATE);
  const file = await directory.open(TENSORS);
  try {
    const tensors = await readSafetensorsHeader(file);
    return {
      step: step as number,
      state,
      tensorNames: [...tensors.keys()],
      readFloat32: (name) => {
        const info = tensors.get(name);
        if (info === undefined) {
          throw new UserError(
            `Cannot resume from ${directory.name}: expected tensor "${name}", found none`,
          );
        }
        return readFloat32(file, name, info);
      },
      close: () => file.close(),
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

function damaged(directory: Directory, file: string, expected: string, found: string): UserError {
  return new UserError(
    `Checkpoint ${directory.name} is damaged: expected ${file} with ${expected}, found ${found}`,
  );
}

function folderOf(step: number): string {
  return `step-${step}`;
}

async function stepsIn(storage: CheckpointStorage): Promise<number[]> {
  const names = await storage.list();
  return names.flatMap((name) =>
    /^step-(0|[1-9]\d{0,14})$/.test(name) ? [Number(name.slice(5))] : []
  );
}

/** Size and SHA-256 of a file. */
async function fingerprint(
  directory: Directory,
  name: string,
  sha256: Sha256,
): Promise<{ bytes: number; sha256: string }> {
  const file = await directory.open(name);
  try {
    return { bytes: file.size, sha256: await sha256(readChunks(file)) };
  } finally {
    file.close();
  }
}
