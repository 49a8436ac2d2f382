// This module is browser compatible.
/** Weights on their way from a checkpoint to the GPU. */
import { UserError } from "../errors.ts";
import { layOut } from "../gpu/arena.ts";
import type { Gpu } from "../gpu/device.ts";
import { createTensor, part, writeTensor } from "../gpu/tensor.ts";
import type { Operand } from "../kernels/shapes.ts";
import { type Adapter, adapterTable } from "./adapter.ts";
import type { ModelConfig } from "./config.ts";
import { isOperand, isVector, type ParameterSpec, parameterTable } from "./params.ts";
import {
  isTrained,
  NOTHING,
  type Parameter,
  refreshAllOperands,
  releaseWeights,
  type Trainable,
  type TrainedArena,
  type Weights,
} from "./weights.ts";

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
      else {
        const data = operand.dtype === "f16" ? new Float16Array(piece) : piece;
        writeTensor(gpu, operand, data, first);
      }
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
