// This module is browser compatible.
import { UserError } from "../errors.ts";
import type { NamedTensor } from "../formats/safetensors.ts";
import type { StandIn } from "../gpu/counting_gpu.ts";
import type { Gpu } from "../gpu/device.ts";
import {
  createTensor,
  destroyTensor,
  elementCount,
  readTensor,
  type Tensor,
  writeTensor,
} from "../gpu/tensor.ts";
import { Commands } from "../gpu/commands.ts";
import { convert } from "../kernels/convert.ts";
import type { Operand } from "../kernels/shapes.ts";
import type { LlamaConfig } from "./config.ts";
import { type ParameterSpec, parameterTable } from "./params.ts";

/** A parameter on the GPU. */
export interface Parameter {
  spec: ParameterSpec;
  /** What forward and backward multiply with: f16 at f16 precision (norms excepted), else f32. */
  operand: Tensor;
  /** What the optimizer updates, always f32; the same tensor as `operand` at f32. Absent where frozen. */
  master?: Tensor;
  /** Accumulated by backward, f32; absent where frozen. */
  gradient?: Tensor;
}

/** All parameters of a model, by name. A reference shares the frozen ones with its policy. */
export interface Weights {
  config: LlamaConfig;
  precision: Operand;
  parameters: Map<string, Parameter>;
  /** Whether a tied model was given a head of its own, which begins as the embedding. */
  untied: boolean;
}

/** Which parameters train. */
export interface Trainable {
  /** The last n decoder layers. */
  layers: number;
  /**
   * `frozen`; `untied`: the head trains, as a copy of the embedding if the model is tied; `tied`: the embedding trains with
   * the gradients of both its uses.
   */
  head: "frozen" | "untied" | "tied";
  finalNorm: boolean;
  embeddings: boolean;
}

export const NOTHING: Trainable = {
  layers: 0,
  head: "frozen",
  finalNorm: false,
  embeddings: false,
};

/**
 * Index of the first layer that is not part of the frozen trunk: everything below it is the same for policy and reference.
 */
export function firstTrainedLayer(config: LlamaConfig, trainable: Trainable): number {
  return trunkIsFrozen(trainable) ? config.numLayers - trainable.layers : 0;
}

/** Whether the residual stream below the first trained layer stays the same during training. */
export function trunkIsFrozen(trainable: Trainable): boolean {
  return !trainable.embeddings && trainable.head !== "tied";
}

function isTrained(spec: ParameterSpec, config: LlamaConfig, trainable: Trainable): boolean {
  if (spec.layer !== null) return spec.layer >= config.numLayers - trainable.layers;
  if (spec.kind === "norm") return trainable.finalNorm;
  if (spec.kind === "head") return trainable.head === "untied";
  return trainable.embeddings || trainable.head === "tied";
}

/**
 * Reads a tensor of a checkpoint as f32, in row-major order and piece by piece, so that no more than a piece need be in
 * memory. All pieces but the last have an even number of elements.
 */
export type TensorReader = (name: string) => AsyncIterable<Float32Array>;

/**
 * Allocates and fills all parameters; the trained ones get f32 masters and gradients.
 *
 * @param config Of the checkpoint. With `head: "untied"`, a tied model gets a head of its own.
 * @throws {UserError} If the choice of trained parts contradicts the model, or a weight does not fit f16.
 */
export async function loadWeights(
  gpu: Gpu,
  config: LlamaConfig,
  read: TensorReader,
  { precision, trainable = NOTHING }: { precision: Operand; trainable?: Trainable },
): Promise<Weights> {
  checkTrainable(config, trainable);
  const untie = config.tieWordEmbeddings && trainable.head === "untied";
  const shape = untie ? { ...config, tieWordEmbeddings: false } : config;
  const parameters = new Map<string, Parameter>();
  try {
    for (const spec of parameterTable(shape)) {
      const parameter = allocate(gpu, spec, precision, isTrained(spec, shape, trainable));
      parameters.set(spec.name, parameter);
      const source = untie && spec.kind === "head"
        ? parameters.get("embed_tokens")!.spec.checkpoint
        : spec.checkpoint;
      await fill(gpu, parameter, source, read);
    }
  } catch (error) {
    for (const parameter of parameters.values()) free(gpu, parameter);
    throw error;
  }
  return { config: shape, precision, parameters, untied: untie };
}

function checkTrainable(config: LlamaConfig, trainable: Trainable): void {
  if (!config.tieWordEmbeddings && trainable.head === "tied") {
    throw new UserError(
      "Expected --head frozen or untied for a model with a head of its own (tie_word_embeddings false), found tied",
    );
  }
  if (config.tieWordEmbeddings && trainable.embeddings && trainable.head === "frozen") {
    throw new UserError(
      "Expected --head tied or untied with --train-embeddings on a tied model, found frozen: its head is the embedding",
    );
  }
  if (trainable.layers > config.numLayers) {
    throw new UserError(
      `Expected --train-layers of at most ${config.numLayers}, the model's layers, found ${trainable.layers}`,
    );
  }
}

function allocate(gpu: Gpu, spec: ParameterSpec, precision: Operand, trained: boolean): Parameter {
  const half = precision === "f16" && spec.kind !== "norm";
  const operand = createTensor(gpu, spec.name, half ? "f16" : "f32", spec.shape);
  if (!trained) return { spec, operand };
  return {
    spec,
    operand,
    master: half ? createTensor(gpu, `${spec.name} master`, "f32", spec.shape) : operand,
    gradient: createTensor(gpu, `${spec.name} gradient`, "f32", spec.shape),
  };
}

function free(gpu: Gpu, { operand, master, gradient }: Parameter): void {
  for (const tensor of new Set([operand, master, gradient])) {
    if (tensor) destroyTensor(gpu, tensor);
  }
}

/** Writes the tensors that make up a parameter, a piece at a time. */
async function fill(
  gpu: Gpu,
  { spec, operand, master }: Parameter,
  source: ParameterSpec["checkpoint"],
  read: TensorReader,
): Promise<void> {
  const columns = spec.shape[1] ?? 1;
  for (const { name, firstRow } of source) {
    let first = firstRow * columns;
    for await (const piece of read(name)) {
      if (operand.dtype === "f16") {
        refuseBeyondF16(spec.name, piece);
        writeTensor(gpu, operand, new Float16Array(piece), first);
      } else if (operand !== master) writeTensor(gpu, operand, piece, first);
      if (master) writeTensor(gpu, master, piece, first);
      first += piece.length;
    }
  }
}

const LARGEST_F16 = 65504;

function refuseBeyondF16(name: string, values: Float32Array): void {
  for (let i = 0; i < values.length; i++) {
    if (Math.abs(values[i]) <= LARGEST_F16) continue;
    throw new UserError(
      `Cannot load "${name}" at f16: expected weights up to ${LARGEST_F16}, found ${
        values[i]
      }: use --precision f32`,
    );
  }
}

/** A copy of the trained parameters as they are now, sharing the frozen ones: the reference of a policy before its first step. */
export function snapshot(gpu: Gpu, weights: Weights): Weights {
  const commands = new Commands(gpu);
  const parameters = new Map<string, Parameter>();
  for (const [name, { spec, operand, master }] of weights.parameters) {
    if (!master) {
      parameters.set(name, { spec, operand });
      continue;
    }
    if (spec.kind === "head" && weights.untied) continue; // the embedding is the reference's head
    const copy = createTensor(gpu, `${name} reference`, operand.dtype, spec.shape);
    commands.copy(copy, operand);
    parameters.set(name, { spec, operand: copy });
  }
  commands.submit();
  return { ...weights, parameters };
}

/** Frees weights that train nothing. */
export function releaseWeights(gpu: Gpu, weights: Weights): void {
  for (const { operand } of weights.parameters.values()) destroyTensor(gpu, operand);
}

/** Frees what {@link snapshot} copied. */
export function releaseSnapshot(gpu: Gpu, reference: Weights, policy: Weights): void {
  for (const [name, { operand }] of reference.parameters) {
    if (operand !== policy.parameters.get(name)?.operand) destroyTensor(gpu, operand);
  }
}

/** Weights like others on a counting device. */
export function standInWeights(weights: Weights, standIn: StandIn): Weights {
  const like = ({ spec, operand, master, gradient }: Parameter): Parameter => ({
    spec,
    operand: standIn(operand),
    ...master && { master: standIn(master) },
    ...gradient && { gradient: standIn(gradient) },
  });
  const parameters = weights.parameters.entries().map(([name, one]) => [name, like(one)] as const);
  return { ...weights, parameters: new Map(parameters) };
}

/** The parameters that train, in table order. */
export function trainedParameters(
  weights: Weights,
): (Parameter & { master: Tensor; gradient: Tensor })[] {
  return [...weights.parameters.values()].filter((parameter) => parameter.master) as (Parameter & {
    master: Tensor;
    gradient: Tensor;
  })[];
}

/** Brings the f16 operands in line with their masters; nothing to do at f32. */
export function refreshOperands(commands: Commands, weights: Weights): void {
  for (const { operand, master } of trainedParameters(weights)) {
    if (operand !== master) convert(commands, operand, master);
  }
}

/**
 * Overwrites trained masters as a checkpoint restores them.
 *
 * @param read Reads a master by the parameter's name.
 * @throws {UserError} If one is of another size.
 */
export async function restoreMasters(
  gpu: Gpu,
  weights: Weights,
  read: (name: string) => Promise<Float32Array>,
): Promise<void> {
  for (const { spec, master } of trainedParameters(weights)) {
    const data = await read(spec.name);
    if (data.length !== elementCount(master.shape)) {
      throw new UserError(
        `Cannot resume: expected trained weights "${spec.name}" (${spec.shape}), found ${data.length} numbers: use the ` +
          "options of the interrupted run",
      );
    }
    writeTensor(gpu, master, data);
  }
  const commands = new Commands(gpu);
  refreshOperands(commands, weights);
  commands.submit();
}

/**
 * The weights as the tensors of a checkpoint, masters where there are, so that nothing trained is rounded. Each is read
 * back when it is asked for.
 */
export function savedTensors(gpu: Gpu, weights: Weights): LazyTensor[] {
  return [...weights.parameters.values()].flatMap(({ spec, operand, master }) => {
    const columns = spec.shape[1] ?? 1;
    return spec.checkpoint.map(({ name, shape, firstRow }) => ({
      name,
      shape,
      data: () => readTensor(gpu, master ?? operand, firstRow * columns, shape[0] * columns),
    }));
  });
}

/** A tensor to save that is not in memory. */
type LazyTensor = NamedTensor & { data(): Promise<Float32Array> };
