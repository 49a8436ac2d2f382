// This module is browser compatible.
import type { Layout } from "../gpu/arena.ts";
import type { Commands } from "../gpu/commands.ts";
import type { StandIn } from "../gpu/counting_gpu.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Readback } from "../gpu/readback.ts";
import { createTensor, type Tensor, writeTensor } from "../gpu/tensor.ts";
import { gradientSlices, gradNorm, gradNormPartial, partialCount } from "../kernels/grad_norm.ts";
import { STATE, STATE_WORDS } from "../kernels/state.ts";
import type { ParameterSpec } from "../model/params.ts";
import { refreshOperands, trainedParameters, type Weights } from "../model/weights.ts";
import {
  type OptimizerName,
  type OptimizerRow,
  OPTIMIZERS,
  type UpdateOptions,
} from "./optimizers.ts";

/** Options that stay the same over a run. */
export interface OptimizerOptions extends Omit<UpdateOptions, "learningRate" | "decaying"> {
  /** Whether the gains of norms, and biases, decay too, as everything does in plain `torch.optim.AdamW`. */
  decayNorms: boolean;
  /** Clip the global gradient norm to this; 0: off. */
  maxGradNorm: number;
}

/** An optimizer's memory on the GPU. */
export interface Optimizer {
  row: OptimizerRow;
  options: OptimizerOptions;
  /** Loss scale, norm, counters; see STATE. u32 (STATE_WORDS). */
  state: Tensor;
  /** The row's own numbers, u32. */
  numbers: Tensor;
  /** What belongs to each arena of the weights, in order. */
  arenas: OptimizerArena[];
  partials: Tensor;
  /** Whether overflows adapt the loss scale: at f16. */
  dynamic: boolean;
}

interface OptimizerArena {
  /** The row's, laid out as the weights. */
  slots: Record<string, Tensor>;
  /** Of the gradients, for their norm. */
  slices: Tensor;
  /** See UpdateOptions. */
  decaying: number;
}

/** f16 gradients of a mean loss over a batch are small: this lifts them, as PyTorch's GradScaler does. Overflow lowers it. */
const FIRST_LOSS_SCALE = 2 ** 16;

export function createOptimizer(
  gpu: Gpu,
  weights: Weights,
  name: OptimizerName,
  options: OptimizerOptions,
): Optimizer {
  const row = OPTIMIZERS[name];
  // In the table's order, whatever the arenas' is: the norm's sums keep theirs.
  const firstPartials = new Map<string, number>();
  let partials = 0;
  for (const { spec } of trainedParameters(weights)) {
    firstPartials.set(spec.name, partials);
    partials += partialCount(spec.shape);
  }
  const arenas = weights.trained.map(({ layout, matrices }) => ({
    slots: createSlots(gpu, row, layout.length),
    slices: createSlices(gpu, layout, firstPartials),
    decaying: options.decayNorms ? layout.length : matrices,
  }));
  const dynamic = weights.precision === "f16";
  const state = createTensor(gpu, "optimizer state", "u32", [STATE_WORDS]);
  writeTensor(gpu, state, Float32Array.of(dynamic ? FIRST_LOSS_SCALE : 1));
  return {
    row,
    options,
    state,
    numbers: createTensor(gpu, "optimizer numbers", "u32", [Object.keys(row.numbers).length]),
    arenas,
    partials: createTensor(gpu, "grad norm partials", "f32", [partials]),
    dynamic,
  };
}

function createSlots(gpu: Gpu, { slots }: OptimizerRow, length: number): Record<string, Tensor> {
  const tensors = Object.entries(slots).map(([name, dtype]) =>
    [name, createTensor(gpu, name, dtype, [length])] as const
  );
  return Object.fromEntries(tensors);
}

function createSlices(
  gpu: Gpu,
  { places }: Layout<ParameterSpec>,
  firstPartials: ReadonlyMap<string, number>,
): Tensor {
  const data = gradientSlices(
    gpu,
    places.map(({ tensor, first }) => ({
      shape: tensor.shape,
      first,
      partial: firstPartials.get(tensor.name)!,
    })),
  );
  const slices = createTensor(gpu, "gradient slices", "u32", [data.length / 4, 4]);
  writeTensor(gpu, slices, data);
  return slices;
}

/** An optimizer like another one on a counting device. */
export function standInOptimizer(optimizer: Optimizer, standIn: StandIn): Optimizer {
  const { state, numbers, arenas, partials } = optimizer;
  const like = (slots: Record<string, Tensor>) =>
    Object.fromEntries(Object.entries(slots).map(([name, slot]) => [name, standIn(slot)]));
  return {
    ...optimizer,
    state: standIn(state),
    numbers: standIn(numbers),
    arenas: arenas.map(({ slots, slices, decaying }) => ({
      slots: like(slots),
      slices: standIn(slices),
      decaying,
    })),
    partials: standIn(partials),
  };
}

/**
 * Updates what trains by its gradients, without the CPU: global norm, clipping, overflow check, the optimizer's row, and the
 * operands that are copies of the weights.
 */
export function update(
  commands: Commands,
  weights: Weights,
  { row, options, state, numbers, arenas, partials, dynamic }: Optimizer,
  learningRate: number,
): void {
  for (const [i, { gradient }] of weights.trained.entries()) {
    gradNormPartial(commands, partials, gradient, arenas[i].slices);
  }
  gradNorm(commands, state, partials, { maxNorm: options.maxGradNorm, dynamic });
  row.begin?.(commands, numbers, state, { ...options, learningRate });
  for (const [i, { master: weight, gradient }] of weights.trained.entries()) {
    const { slots, decaying } = arenas[i];
    const tensors = { weight, gradient, slots, state, numbers };
    row.update(commands, tensors, { ...options, learningRate, decaying });
  }
  refreshOperands(commands, weights);
}

/** A slot of a trained parameter: what checkpoints call it, and where it lies. */
export interface Slot {
  name: string;
  shape: number[];
  tensor: Tensor;
  /** Its first element in the tensor. */
  first: number;
}

/** The slots of all trained parameters. */
export function slotsOf(weights: Weights, { arenas }: Optimizer): Slot[] {
  return weights.trained.flatMap(({ layout: { places } }, i) =>
    places.flatMap(({ tensor: { name, shape }, first }) =>
      Object.entries(arenas[i].slots).map(([slot, tensor]) => ({
        name: `${name}.${slot}`,
        shape,
        tensor,
        first,
      }))
    )
  );
}

/** What the optimizer knows after a step. */
export interface OptimizerReport {
  /** Global gradient norm before clipping. */
  norm: number;
  lossScale: number;
  /** Steps skipped for an overflow so far. */
  skipped: number;
}

/** Records the state at this point of the commands; @returns what reads it after the readback's next fetch. */
export function reportState(
  commands: Commands,
  { state }: Optimizer,
  readback: Readback,
): () => OptimizerReport {
  let data = new ArrayBuffer(4 * STATE_WORDS);
  readback.record(commands, state, (fetched) => data = fetched);
  return () => {
    const floats = new Float32Array(data);
    const skipped = new Uint32Array(data)[STATE.skipped];
    return { norm: floats[STATE.norm], lossScale: floats[STATE.loss_scale], skipped };
  };
}
