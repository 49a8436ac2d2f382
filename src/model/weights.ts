// This module is browser compatible.
import { UserError } from "../errors.ts";
import type { NamedTensor } from "../formats/safetensors.ts";
import type { Layout } from "../gpu/arena.ts";
import type { StandIn } from "../gpu/counting_gpu.ts";
import type { Gpu } from "../gpu/device.ts";
import {
  createTensor,
  destroyTensor,
  elementCount,
  readTensor,
  type Tensor,
  view,
  writeTensor,
} from "../gpu/tensor.ts";
import { Commands } from "../gpu/commands.ts";
import { convert } from "../kernels/convert.ts";
import type { Operand } from "../kernels/shapes.ts";
import type { ModelConfig } from "./config.ts";
import { type Adapter, firstAdaptedLayer } from "./adapter.ts";
import type { ParameterSpec } from "./params.ts";

/** A parameter on the GPU. What trains lies in arenas. */
export interface Parameter {
  spec: ParameterSpec;
  /** What forward and backward multiply with: f16 at f16 precision (norms, biases and adapters excepted), else f32. */
  operand: Tensor;
  /** What changes, always f32; the same tensor as `operand` at f32. Absent where frozen. */
  master?: Tensor;
  /** Accumulated by backward, f32; absent where nothing trains. */
  gradient?: Tensor;
}

/** Trained parameters that lie side by side: matrices, then vectors. */
export interface TrainedArena {
  layout: Layout<ParameterSpec>;
  /** Elements in front of the vectors. */
  matrices: number;
  /** f32 (length). */
  master: Tensor;
  /** f32 (length). */
  gradient: Tensor;
  /** The operands of the matrices at f16, in the same places: f16 (matrices). */
  operand?: Tensor;
}

/** All parameters of a model, by name. A reference shares the frozen ones with its policy. */
export interface Weights {
  config: ModelConfig;
  precision: Operand;
  parameters: Map<string, Parameter>;
  /** What trains. */
  trained: TrainedArena[];
  /** Whether a tied model was given a head of its own, which begins as the embedding. */
  untied: boolean;
  /** Adapters among the parameters, if there are some. */
  adapter?: Adapter;
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
  /** Adapters, which train alone: nothing else may then. */
  adapter?: Adapter;
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
export function firstTrainedLayer(config: ModelConfig, trainable: Trainable): number {
  if (trainable.adapter) return firstAdaptedLayer(config, trainable.adapter);
  return trunkIsFrozen(trainable) ? config.numLayers - trainable.layers : 0;
}

/** Whether the residual stream below the first trained layer stays the same during training. */
export function trunkIsFrozen(trainable: Trainable): boolean {
  return !trainable.embeddings && trainable.head !== "tied";
}

export function isTrained(spec: ParameterSpec, config: ModelConfig, trainable: Trainable): boolean {
  if (trainable.adapter) return spec.kind === "adapter";
  if (spec.layer !== null) return spec.layer >= config.numLayers - trainable.layers;
  if (spec.kind === "norm") return trainable.finalNorm;
  if (spec.kind === "head") return trainable.head === "untied";
  return trainable.embeddings || trainable.head === "tied";
}

/**
 * A copy of the trained parameters as they are now, sharing the frozen ones: the reference of a policy before its first step.
 *
 * @param follows Whether `followWeights` will change it: then it has f32 masters. Otherwise what changes nothing is left
 * out: fresh adapters, and a head of its own that still is the embedding.
 */
export function snapshot(gpu: Gpu, weights: Weights, follows = false): Weights {
  const commands = new Commands(gpu);
  const parameters = new Map<string, Parameter>();
  for (const [name, { spec, operand, master }] of weights.parameters) {
    if (!master) {
      parameters.set(name, { spec, operand });
      continue;
    }
    if (!follows && spec.kind === "head" && weights.untied) continue;
    if (!follows && spec.kind === "adapter" && weights.adapter!.fresh) continue;
    const copyOf = (tensor: Tensor, what: string) => {
      const copy = createTensor(gpu, `${name} ${what}`, tensor.dtype, spec.shape);
      commands.copy(copy, tensor);
      return copy;
    };
    const copy = copyOf(operand, "reference");
    const own = operand === master || !follows ? copy : copyOf(master, "reference master");
    parameters.set(name, { spec, operand: copy, ...follows && { master: own } });
  }
  commands.submit();
  return { ...weights, parameters, trained: [] };
}

/** Frees what `adaptedWeights` allocated. */
export function releaseAdapter(gpu: Gpu, { parameters }: Weights): void {
  for (const { spec, operand } of parameters.values()) {
    if (spec.kind === "adapter") destroyTensor(gpu, operand);
  }
}

/** Frees weights that are shared with no others. */
export function releaseWeights(
  gpu: Gpu,
  { parameters, trained }: Pick<Weights, "parameters" | "trained">,
): void {
  for (const { master, gradient, operand } of trained) {
    for (const tensor of [master, gradient, operand]) if (tensor) destroyTensor(gpu, tensor);
  }
  for (const { operand, master, gradient } of parameters.values()) {
    if (!gradient) {
      for (const own of new Set([operand, master])) if (own) destroyTensor(gpu, own);
    }
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
  const trained = weights.trained.map(({ master, gradient, operand, ...arena }) => ({
    ...arena,
    master: standIn(master),
    gradient: standIn(gradient),
    ...operand && { operand: standIn(operand) },
  }));
  return { ...weights, parameters: new Map(parameters), trained };
}

/** The parameters that change, in table order: by training, or as a reference that follows its policy. */
export function changingParameters({ parameters }: Weights): (Parameter & { master: Tensor })[] {
  return [...parameters.values()].filter(({ master }) => master) as ReturnType<
    typeof changingParameters
  >;
}

/** The parameters that train, in table order. */
export function trainedParameters(
  weights: Weights,
): (Parameter & { master: Tensor; gradient: Tensor })[] {
  return changingParameters(weights).filter(({ gradient }) => gradient) as ReturnType<
    typeof trainedParameters
  >;
}

/** Sets all gradients to zero. */
export function zeroGradients(commands: Commands, { trained }: Weights): void {
  for (const { gradient } of trained) commands.clear(gradient);
}

/** Brings the f16 operands in line with their masters; nothing to do at f32. */
export function refreshOperands(commands: Commands, { trained }: Weights): void {
  for (const { operand, master } of trained) {
    if (operand) convert(commands, operand, view(master, [...operand.shape]));
  }
}

/** {@link refreshOperands} of all parameters that change, one by one: those of a reference lie in no arena. */
export function refreshAllOperands(gpu: Gpu, parameters: Weights["parameters"]): void {
  const commands = new Commands(gpu);
  for (const { operand, master } of parameters.values()) {
    if (master && master !== operand) convert(commands, operand, master);
  }
  commands.submit();
}

/**
 * Overwrites masters as a checkpoint restores them.
 *
 * @param read Reads a master by the parameter's name.
 * @throws {UserError} If one is of another size.
 */
export async function restoreMasters(
  gpu: Gpu,
  weights: Weights,
  read: (name: string) => Promise<Float32Array>,
): Promise<void> {
  for (const { spec, master } of changingParameters(weights)) {
    const data = await read(spec.name);
    if (data.length !== elementCount(master.shape)) {
      throw new UserError(
        `Cannot resume: expected weights "${spec.name}" (${spec.shape}), found ${data.length} numbers: use the ` +
          "options of the interrupted run",
      );
    }
    writeTensor(gpu, master, data);
  }
  refreshAllOperands(gpu, weights.parameters);
}

/**
 * The weights as the tensors of a checkpoint, masters where there are, so that nothing trained is rounded; of adapters these
 * alone, by PEFT's names. Each is read back when it is asked for.
 */
export function savedTensors(gpu: Gpu, weights: Weights): LazyTensor[] {
  const saved = [...weights.parameters.values()]
    .filter(({ spec }) => !weights.adapter || spec.kind === "adapter");
  return saved.flatMap(({ spec, operand, master }) => {
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
