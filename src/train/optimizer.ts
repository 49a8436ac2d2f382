// This module is browser compatible.
import type { Commands } from "../gpu/commands.ts";
import type { StandIn } from "../gpu/counting_gpu.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Readback } from "../gpu/readback.ts";
import { createTensor, type Tensor, writeTensor } from "../gpu/tensor.ts";
import { adamw, gradNorm, gradNormPartial, partialCount } from "../kernels/optimizer.ts";
import { STATE, STATE_WORDS } from "../kernels/state.ts";
import { refreshOperands, trainedParameters, type Weights } from "../model/weights.ts";

/** AdamW's options that stay the same over a run. */
export interface OptimizerOptions {
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
  /** Whether the gains of norms decay too, as everything does in plain `torch.optim.AdamW`. */
  decayNorms: boolean;
  /** Clip the global gradient norm to this; 0: off. */
  maxGradNorm: number;
}

/** AdamW's memory on the GPU. */
export interface Optimizer {
  options: OptimizerOptions;
  /** Loss scale, counters, norm; see STATE. u32 (STATE_WORDS). */
  state: Tensor;
  /** Mean and mean square of the gradient, by parameter name. */
  moments: Map<string, { m: Tensor; v: Tensor }>;
  partials: Tensor;
  /** Whether overflows adapt the loss scale: at f16. */
  dynamic: boolean;
}

/** f16 gradients of a mean loss over a batch are small: this lifts them, as PyTorch's GradScaler does. Overflow lowers it. */
const FIRST_LOSS_SCALE = 2 ** 16;

export function createOptimizer(gpu: Gpu, weights: Weights, options: OptimizerOptions): Optimizer {
  const moments = new Map<string, { m: Tensor; v: Tensor }>();
  let slots = 0;
  for (const { spec, gradient } of trainedParameters(weights)) {
    moments.set(spec.name, {
      m: createTensor(gpu, `${spec.name} m`, "f32", spec.shape),
      v: createTensor(gpu, `${spec.name} v`, "f32", spec.shape),
    });
    slots += partialCount(gradient);
  }
  const dynamic = weights.precision === "f16";
  const state = createTensor(gpu, "optimizer state", "u32", [STATE_WORDS]);
  writeTensor(gpu, state, Float32Array.of(dynamic ? FIRST_LOSS_SCALE : 1));
  const partials = createTensor(gpu, "grad norm partials", "f32", [slots]);
  return { options, state, moments, partials, dynamic };
}

/** An optimizer like another one on a counting device. */
export function standInOptimizer(optimizer: Optimizer, standIn: StandIn): Optimizer {
  const moments = optimizer.moments.entries().map(([name, { m, v }]) =>
    [name, { m: standIn(m), v: standIn(v) }] as const
  );
  return {
    ...optimizer,
    state: standIn(optimizer.state),
    partials: standIn(optimizer.partials),
    moments: new Map(moments),
  };
}

/** Sets all gradients to zero. */
export function zeroGradients(commands: Commands, weights: Weights): void {
  for (const { gradient } of trainedParameters(weights)) commands.clear(gradient);
}

/**
 * Updates what trains by its gradients, without the CPU: global norm, clipping, overflow check, AdamW, and the operands that
 * are copies of the weights.
 */
export function update(
  commands: Commands,
  weights: Weights,
  { options, state, moments, partials, dynamic }: Optimizer,
  learningRate: number,
): void {
  const { beta1, beta2, epsilon, maxGradNorm } = options;
  const trained = trainedParameters(weights);
  let slot = 0;
  for (const { gradient } of trained) {
    gradNormPartial(commands, partials, gradient, slot);
    slot += partialCount(gradient);
  }
  gradNorm(commands, state, partials, { maxNorm: maxGradNorm, dynamic, beta1, beta2 });
  for (const { spec, master, gradient } of trained) {
    const { m, v } = moments.get(spec.name)!;
    const decays = spec.kind !== "norm" || options.decayNorms;
    adamw(commands, master, m, v, gradient, state, {
      learningRate,
      beta1,
      beta2,
      epsilon,
      weightDecay: decays ? options.weightDecay : 0,
    });
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
