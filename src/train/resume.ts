// This module is browser compatible.
import type { OptionName } from "../config/resolve.ts";
import type { OptionSpec } from "../config/kinds.ts";
import { specOf } from "../config/values.ts";
import { UserError } from "../errors.ts";
import { describe, isObject } from "../formats/json.ts";
import {
  elementCount,
  readTensor,
  readTensorU32,
  type Tensor,
  writeTensor,
} from "../gpu/tensor.ts";
import { STATE_FIELDS } from "../kernels/state.ts";
import { changingParameters, restoreMasters, type Weights } from "../model/weights.ts";
import type { Checkpoint, CheckpointContent } from "./checkpoint.ts";
import { isIdentity } from "./identity.ts";
import { type Optimizer, slotsOf } from "./optimizer.ts";
import type { Training } from "./training.ts";

/** What of a training a checkpoint holds. */
type Saved = Pick<Training, "model" | "optimizer" | "sync">;

/**
 * Everything that a run needs to go on bit for bit: trained weights, those of a reference that follows them, the optimizer's
 * slots, and its numbers with the loss scale as 32-bit words by their names. The order of the data follows from seed and step,
 * so there is no generator to save.
 *
 * The tensors are read back when they are written: until then no step may be taken.
 *
 * @param fingerprint What must be the same when the run is resumed: options and data.
 */
export async function checkpointContent(
  { model: { gpu, weights }, optimizer, sync }: Saved,
  fingerprint: Record<string, unknown>,
): Promise<CheckpointContent> {
  // Read back one by one, as they are written.
  const mastersOf = (weights: Weights, called: (name: string) => string) =>
    changingParameters(weights).map(({ spec: { name, shape }, master }) => ({
      name: called(name),
      shape,
      data: () => readTensor(gpu, master),
    }));
  const masters = mastersOf(weights, (name) => name);
  const reference = sync ? mastersOf(sync.reference.model.weights, nameInReference) : [];
  const slots = slotsOf(optimizer).map(({ name, shape, tensor, first }) => ({
    name,
    shape,
    data: () => readTensor(gpu, tensor, first, elementCount(shape)),
  }));
  const optimizerState: Record<string, number> = {};
  for (const [names, tensor] of wordsOf(optimizer)) {
    const words = await readTensorU32(gpu, tensor);
    for (const [i, name] of names.entries()) optimizerState[name] = words[i];
  }
  return {
    tensors: [...masters, ...reference, ...slots],
    state: { optimizerState, fingerprint },
  };
}

/** What a checkpoint calls a weight of the reference. */
const nameInReference = (name: string) => `${name}.reference`;

/** What an optimizer knows besides its slots, and what a checkpoint calls it. */
function wordsOf({ state, row, numbers }: Optimizer): [names: string[], Tensor][] {
  return [[Object.keys(STATE_FIELDS), state], [Object.keys(row.numbers), numbers]];
}

/** The order of AdamW's words in checkpoints that do not name them, which earlier versions of this program wrote. */
const UNNAMED = "loss_scale clean_steps step skipped multiplier norm bias1 bias2".split(" ");

function savedWord(saved: unknown, name: string): number {
  const words = Array.isArray(saved)
    ? Object.fromEntries(UNNAMED.map((name, i) => [name, saved[i]]))
    : isObject(saved)
    ? saved
    : {};
  const word = words[name];
  if (Number.isInteger(word)) return word as number;
  throw new UserError(
    `Cannot resume: expected the optimizer's "${name}" in the checkpoint as a whole number, found ${
      describe(word)
    }: train without --resume`,
  );
}

/**
 * Puts a training into the state that {@link checkpointContent} saved.
 *
 * @throws {UserError} If the checkpoint is from a run with other options or data; the message names the first difference.
 */
export async function restoreCheckpoint(
  { model: { gpu, weights }, optimizer, sync }: Saved,
  checkpoint: Checkpoint,
  fingerprint: Record<string, unknown>,
): Promise<void> {
  checkFingerprint(checkpoint.state.fingerprint as Record<string, unknown>, fingerprint);
  for (const { name, shape, tensor, first } of slotsOf(optimizer)) {
    const data = await checkpoint.readFloat32(name);
    if (data.length !== elementCount(shape)) {
      throw new UserError(
        `Cannot resume: expected "${name}" (${shape}), found ${data.length} numbers: use the options of the interrupted run`,
      );
    }
    writeTensor(gpu, tensor, data, first);
  }
  await restoreMasters(gpu, weights, (name) => checkpoint.readFloat32(name));
  if (sync) {
    const { reference } = sync;
    await restoreMasters(
      gpu,
      reference.model.weights,
      (name) => checkpoint.readFloat32(nameInReference(name)),
    );
    reference.forget();
  }
  for (const [names, tensor] of wordsOf(optimizer)) {
    const words = names.map((name) => savedWord(checkpoint.state.optimizerState, name));
    writeTensor(gpu, tensor, Uint32Array.from(words));
  }
}

/**
 * Compares fingerprints. An option that a checkpoint does not have came later: its run was one with the default.
 *
 * @param saved The fingerprint in a checkpoint.
 * @param present That of the run which is to go on from it.
 * @throws {UserError} As {@link restoreCheckpoint}.
 */
export function checkFingerprint(
  saved: Record<string, unknown> | undefined,
  present: Record<string, unknown>,
): void {
  if (!isIdentity(saved?.model)) {
    throw new UserError(
      "Cannot resume: expected a checkpoint that says which weights its run began with, found one of an earlier version " +
        "of this program: train without --resume",
    );
  }
  for (const [name, value] of Object.entries(present)) {
    const spec: OptionSpec | undefined = specOf(name as OptionName);
    const then = name in saved ? saved[name] : spec?.default;
    const [expected, found] = [then, value].map(describeValue);
    if (expected === found) continue;
    const isModel = name === "model" || name === "reference";
    const what = isModel ? `--${name} with` : name;
    const give = isModel ? `the --${name}` : "the options and data";
    // What a configuration says, and so its digest, may be more in a later version.
    const isEarlier = isIdentity(then) && isIdentity(value) && then.weights === value.weights;
    const hint = isEarlier
      ? ", or train without --resume if an earlier version wrote it"
      : name === "totalSteps"
      ? ", for its learning rate depends on where it ends; only one with a constant rate can be made longer"
      : "";
    throw new UserError(
      `Cannot resume: expected ${what} ${expected} as in the checkpoint, found ${found}: give ${give} of the interrupted run${hint}`,
    );
  }
}

function describeValue(value: unknown): string {
  if (isIdentity(value)) return `weights ${value.weights} and configuration ${value.config}`;
  return value === undefined ? "none" : JSON.stringify(value);
}
