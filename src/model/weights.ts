// This module is browser compatible.
import { UserError } from "../errors.ts";
import type { NamedTensor } from "../formats/safetensors.ts";
import { type Layout, layOut } from "../gpu/arena.ts";
import type { StandIn } from "../gpu/counting_gpu.ts";
import type { Gpu } from "../gpu/device.ts";
import {
  createTensor,
  destroyTensor,
  elementCount,
  part,
  readTensor,
  type Tensor,
  view,
  writeTensor,
} from "../gpu/tensor.ts";
import { Commands } from "../gpu/commands.ts";
import { convert } from "../kernels/convert.ts";
import type { Operand } from "../kernels/shapes.ts";
import type { ModelConfig } from "./config.ts";
import { type Adapter, adapterTable, firstAdaptedLayer } from "./adapter.ts";
import { isOperand, isVector, type ParameterSpec, parameterTable } from "./params.ts";

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

function isTrained(spec: ParameterSpec, config: ModelConfig, trainable: Trainable): boolean {
  if (trainable.adapter) return spec.kind === "adapter";
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

/** What is allocated for weights that are loaded. */
export interface LoadOptions {
  precision: Operand;
  /** These get f32 masters and gradients, in arenas. */
  trainable?: Trainable;
  /** Whether a tied model gets a head of its own, which begins as the embedding. */
  untied?: boolean;
  /** Whether all get f32 masters, to be changed by `followWeights`. */
  follows?: boolean;
}

/**
 * Allocates and fills all parameters.
 *
 * @param config Of the checkpoint.
 * @throws {UserError} If the choice of trained parts contradicts the model, or a weight does not fit f16.
 */
export async function loadWeights(
  gpu: Gpu,
  config: ModelConfig,
  read: TensorReader,
  {
    precision,
    trainable = NOTHING,
    untied = trainable.head === "untied",
    follows = false,
  }: LoadOptions,
): Promise<Weights> {
  checkTrainable(config, trainable);
  const untie = config.tieWordEmbeddings && untied;
  const shape = untie ? { ...config, tieWordEmbeddings: false } : config;
  const { adapter } = trainable;
  const table = [...parameterTable(shape), ...adapter ? adapterTable(shape, adapter) : []];
  const trained = allocateTrained(
    gpu,
    table.filter((spec) => isTrained(spec, shape, trainable)),
    precision,
  );
  const parts = new Map(
    trained.flatMap((arena) => partsOf(gpu, arena)).map((one) => [one.spec.name, one]),
  );
  const parameters = new Map<string, Parameter>();
  try {
    for (const spec of table) {
      const parameter = parts.get(spec.name) ?? allocate(gpu, spec, precision, follows);
      parameters.set(spec.name, parameter);
      const source = untie && spec.kind === "head"
        ? parameters.get("embed_tokens")!.spec.checkpoint
        : spec.checkpoint;
      await fill(gpu, parameter, source, spec.kind === "adapter" ? adapter!.read : read);
    }
  } catch (error) {
    releaseWeights(gpu, { parameters, trained });
    throw error;
  }
  refreshAllOperands(gpu, parameters);
  return { config: shape, precision, parameters, trained, untied: untie, adapter };
}

function checkTrainable(config: ModelConfig, trainable: Trainable): void {
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

/** @param follows Whether it gets a master. */
function allocate(
  gpu: Gpu,
  spec: ParameterSpec,
  precision: Operand,
  follows = false,
): Parameter {
  const dtype = isOperand(spec) ? precision : "f32";
  const operand = createTensor(gpu, spec.name, dtype, spec.shape);
  if (!follows) return { spec, operand };
  const isOwn = dtype === "f16";
  return {
    spec,
    operand,
    master: isOwn ? createTensor(gpu, `${spec.name} master`, "f32", spec.shape) : operand,
  };
}

/** Allocates what trains: matrices, then vectors. */
function allocateTrained(
  gpu: Gpu,
  specs: readonly ParameterSpec[],
  precision: Operand,
): TrainedArena[] {
  const ordered = specs.toSorted((a, b) => Number(isVector(a)) - Number(isVector(b)));
  return layOut(gpu, ordered).map((layout) => {
    const { places, length } = layout;
    const matrices = places.find(({ tensor }) => isVector(tensor))?.first ?? length;
    return {
      layout,
      matrices,
      master: createTensor(gpu, "weights", "f32", [length]),
      gradient: createTensor(gpu, "gradients", "f32", [length]),
      ...precision === "f16" && places.some(({ tensor }) => isOperand(tensor)) &&
        { operand: createTensor(gpu, "operands", "f16", [matrices]) },
    };
  });
}

/** The parameters of an arena. */
function partsOf(gpu: Gpu, { layout, master, gradient, operand }: TrainedArena): Parameter[] {
  return layout.places.map(({ tensor: spec, first }) => {
    const { name, shape } = spec;
    const own = part(gpu, master, name, first, shape);
    return {
      spec,
      operand: operand && isOperand(spec) ? part(gpu, operand, name, first, shape) : own,
      master: own,
      gradient: part(gpu, gradient, `${name} gradient`, first, shape),
    };
  });
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
      if (operand.dtype === "f16") refuseBeyondF16(spec.name, piece);
      if (master) writeTensor(gpu, master, piece, first); // the operand follows from it
      else {writeTensor(
          gpu,
          operand,
          operand.dtype === "f16" ? new Float16Array(piece) : piece,
          first,
        );}
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

/**
 * The weights of a model with adapters over them, which do not train: those of the model are shared.
 *
 * @throws {UserError} As reading them does.
 */
export async function adaptedWeights(
  gpu: Gpu,
  base: Weights,
  adapter: Adapter,
): Promise<Weights> {
  const own = new Map<string, Parameter>();
  try {
    for (const spec of adapterTable(base.config, adapter)) {
      const parameter = allocate(gpu, spec, base.precision);
      own.set(spec.name, parameter);
      await fill(gpu, parameter, spec.checkpoint, adapter.read);
    }
  } catch (error) {
    releaseWeights(gpu, { parameters: own, trained: [] });
    throw error;
  }
  return { ...base, parameters: new Map([...base.parameters, ...own]), adapter };
}

/** Frees what {@link adaptedWeights} allocated. */
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
function refreshAllOperands(gpu: Gpu, parameters: Weights["parameters"]): void {
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
