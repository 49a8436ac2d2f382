// This module is browser compatible.
import type { Commands } from "../gpu/commands.ts";
import type { StandIn } from "../gpu/counting_gpu.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Readback } from "../gpu/readback.ts";
import { createTensor, type Tensor, writeTensor } from "../gpu/tensor.ts";
import { gradNorm, gradNormPartial, partialCount } from "../kernels/grad_norm.ts";
import { STATE, STATE_WORDS } from "../kernels/state.ts";
import { refreshOperands, trainedParameters, type Weights } from "../model/weights.ts";
import { type OptimizerRow, OPTIMIZERS, type UpdateOptions } from "./optimizers.ts";

/** Options that stay the same over a run. */
export interface OptimizerOptions extends Omit<UpdateOptions, "learningRate"> {
  /** Whether the gains of norms decay too, as everything does in plain `torch.optim.AdamW`. */
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
  /** The row's slots of each parameter, by its name. */
  slots: Map<string, Record<string, Tensor>>;
  partials: Tensor;
  /** Whether overflows adapt the loss scale: at f16. */
  dynamic: boolean;
}

/** f16 gradients of a mean loss over a batch are small: this lifts them, as PyTorch's GradScaler does. Overflow lowers it. */
const FIRST_LOSS_SCALE = 2 ** 16;

export function createOptimizer(gpu: Gpu, weights: Weights, options: OptimizerOptions): Optimizer {
  const row: OptimizerRow = OPTIMIZERS.adamw_torch;
  const slots = new Map<string, Record<string, Tensor>>();
  let partials = 0;
  for (const { spec, gradient } of trainedParameters(weights)) {
    const own = Object.entries(row.slots).map(([name, dtype]) =>
      [name, createTensor(gpu, `${spec.name} ${name}`, dtype, spec.shape)] as const
    );
    slots.set(spec.name, Object.fromEntries(own));
    partials += partialCount(gradient);
  }
  const dynamic = weights.precision === "f16";
  const state = createTensor(gpu, "optimizer state", "u32", [STATE_WORDS]);
  writeTensor(gpu, state, Float32Array.of(dynamic ? FIRST_LOSS_SCALE : 1));
  return {
    row,
    options,
    state,
    numbers: createTensor(gpu, "optimizer numbers", "u32", [Object.keys(row.numbers).length]),
    slots,
    partials: createTensor(gpu, "grad norm partials", "f32", [partials]),
    dynamic,
  };
}

/** An optimizer like another one on a counting device. */
export function standInOptimizer(optimizer: Optimizer, standIn: StandIn): Optimizer {
  const { state, numbers, slots, partials } = optimizer;
  const like = (own: Record<string, Tensor>) =>
    Object.fromEntries(Object.entries(own).map(([name, slot]) => [name, standIn(slot)]));
  return {
    ...optimizer,
    state: standIn(state),
    numbers: standIn(numbers),
    slots: new Map(slots.entries().map(([name, own]) => [name, like(own)])),
    partials: standIn(partials),
  };
}

/** Sets all gradients to zero. */
export function zeroGradients(commands: Commands, weights: Weights): void {
  for (const { gradient } of trainedParameters(weights)) commands.clear(gradient);
}

/**
 * Updates what trains by its gradients, without the CPU: global norm, clipping, overflow check, the optimizer's row, and the
 * operands that are copies of the weights.
 */
export function update(
  commands: Commands,
  weights: Weights,
  { row, options, state, numbers, slots, partials, dynamic }: Optimizer,
  learningRate: number,
): void {
  const trained = trainedParameters(weights);
  let slot = 0;
  for (const { gradient } of trained) {
    gradNormPartial(commands, partials, gradient, slot);
    slot += partialCount(gradient);
  }
  gradNorm(commands, state, partials, { maxNorm: options.maxGradNorm, dynamic });
  row.begin?.(commands, numbers, state, { ...options, learningRate });
  for (const { spec, master, gradient } of trained) {
    const decays = spec.kind !== "norm" || options.decayNorms;
    const weightDecay = decays ? options.weightDecay : 0;
    row.update(
      commands,
      { weight: master, gradient, slots: slots.get(spec.name)!, state, numbers },
      { ...options, learningRate, weightDecay },
    );
  }
  refreshOperands(commands, weights);
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
