// This module is browser compatible.
/**
 * From a stored model to one that runs on a device.
 *
 * @module
 */
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Operand } from "../kernels/shapes.ts";
import type { Adapter } from "./adapter.ts";
import type { ModelConfig } from "./config.ts";
import { createModel, type Model } from "./model.ts";
import { type ParameterSpec, parameterTable } from "./params.ts";
import { adaptedWeights, loadWeights, type TensorReader } from "./load_weights.ts";
import type { Weights } from "./weights.ts";

/** A model's configuration and the way to its weights. */
export interface Checkpoint {
  config: ModelConfig;
  read: TensorReader;
  /** Where it has trained adapters: how to go on with them, over the weights without them. */
  adapted?: { adapter: Adapter; read: TensorReader };
}

/**
 * Loads a model to run it only.
 *
 * @param positions Longest sequence that it will see.
 */
export async function loadModel(
  gpu: Gpu,
  { config, read }: Checkpoint,
  { precision, positions }: { precision: Operand; positions: number },
): Promise<Model> {
  return createModel(gpu, await loadWeights(gpu, config, read, { precision }), positions);
}

/**
 * Loads adapters to run them over a model that is loaded, whose weights they share.
 *
 * @param positions Longest sequence that it will see.
 */
export async function loadAdapter(
  { gpu, weights }: Model,
  adapter: Adapter,
  positions: number,
): Promise<Model> {
  return createModel(gpu, await adaptedWeights(gpu, weights, adapter), positions);
}

/**
 * Loads a reference model of its own; its shape may differ from the policy's.
 *
 * @throws {UserError} If its vocabulary is another one.
 */
export function loadReference(
  gpu: Gpu,
  policy: Pick<Checkpoint, "config">,
  reference: Checkpoint,
  options: { precision: Operand; positions: number },
): Promise<Model> {
  const [expected, found] = [policy.config.vocabSize, reference.config.vocabSize];
  if (found !== expected) {
    throw new UserError(
      `Expected a --reference with the model's vocabulary of ${expected} tokens, found ${found}: take one with the same tokenizer`,
    );
  }
  return loadModel(gpu, reference, options);
}

/**
 * Loads a reference model of its own that will follow the policy: all of its weights may change.
 *
 * @throws {UserError} If they are not those of the policy by name and shape.
 */
export async function loadFollower(
  gpu: Gpu,
  policy: Weights,
  { config, read }: Checkpoint,
  { precision, positions }: { precision: Operand; positions: number },
): Promise<Model> {
  const { untied } = policy;
  const shape = untied ? { ...config, tieWordEmbeddings: false } : config;
  const inWords = ({ name, shape }: Pick<ParameterSpec, "name" | "shape">) =>
    `${name} (${shape.join(", ")})`;
  const expected = policy.parameters.values().map(({ spec }) => inWords(spec)).toArray();
  const found = parameterTable(shape).map(inWords);
  for (let i = 0; i < Math.max(expected.length, found.length); i++) {
    if (expected[i] === found[i]) continue;
    throw new UserError(
      `Expected a --reference with the weights of the model, to mix both with --sync-ref-model, found ${
        found[i] ?? "none"
      } in the place of ${expected[i] ?? "none"}: take one of the same shape`,
    );
  }
  const weights = await loadWeights(gpu, config, read, { precision, untied, follows: true });
  return createModel(gpu, weights, positions);
}
