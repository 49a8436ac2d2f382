// This module is browser compatible.
import type { Layout } from "../gpu/arena.ts";
import type { Commands } from "../gpu/commands.ts";
import type { StandIn } from "../gpu/counting_gpu.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Readback } from "../gpu/readback.ts";
import { createTensor, elementCount, part, type Tensor, writeTensor } from "../gpu/tensor.ts";
import { gradientSlices, gradNorm, gradNormPartial, partialCount } from "../kernels/grad_norm.ts";
import type { MatrixPlace } from "../kernels/muon.ts";
import { STATE, STATE_WORDS } from "../kernels/state.ts";
import type { ParameterSpec } from "../model/params.ts";
import {
  refreshOperands,
  type TrainedArena,
  trainedParameters,
  type Weights,
} from "../model/weights.ts";
import {
  type OptimizerName,
  type OptimizerRow,
  OPTIMIZERS,
  type UpdateOptions,
  type UpdateRule,
  type UpdateTensors,
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
  /** Of the gradients of each arena of the weights, in order, for their norm. */
  slices: Tensor[];
  partials: Tensor;
  /** What trains, arena by arena. */
  groups: ParameterGroup[];
  /** Whether overflows adapt the loss scale: at f16. */
  dynamic: boolean;
}

/** Parameters side by side in an arena that have one rule. */
interface ParameterGroup {
  rule: UpdateRule;
  /** Where they lie in the group's tensors. */
  places: Layout<ParameterSpec>["places"];
  tensors: Omit<UpdateTensors, "state" | "numbers">;
  matrices: MatrixPlace[];
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
  const dynamic = weights.precision === "f16";
  const state = createTensor(gpu, "optimizer state", "u32", [STATE_WORDS]);
  writeTensor(gpu, state, Float32Array.of(dynamic ? FIRST_LOSS_SCALE : 1));
  return {
    row,
    options,
    state,
    numbers: createTensor(gpu, "optimizer numbers", "u32", [Object.keys(row.numbers).length]),
    slices: weights.trained.map(({ layout }) => createSlices(gpu, layout, firstPartials)),
    partials: createTensor(gpu, "grad norm partials", "f32", [partials]),
    groups: createGroups(gpu, weights, row, options),
    dynamic,
  };
}

function createGroups(
  gpu: Gpu,
  { trained }: Weights,
  row: OptimizerRow,
  options: OptimizerOptions,
): ParameterGroup[] {
  const groups = trained.flatMap((arena) =>
    runsOf(arena, row).map((run) => createGroup(gpu, arena, run, options))
  );
  // One group is updated after the other, so those of a rule share its scratch.
  for (const [rule, alike] of Map.groupBy(groups, ({ rule }) => rule)) {
    const sizes = rule.scratch?.(alike.flatMap(({ matrices }) => matrices)) ?? {};
    const scratch = mapValues(sizes, (size, name) => createTensor(gpu, name, "f32", [size]));
    for (const { tensors } of alike) tensors.scratch = scratch;
  }
  return groups;
}

/** Neighbours in an arena that have one rule. */
interface Run {
  rule: UpdateRule;
  places: Layout<ParameterSpec>["places"];
  /** Elements of the arena. */
  first: number;
  end: number;
}

function runsOf({ layout }: TrainedArena, { ruleOf }: OptimizerRow): Run[] {
  const runs: Run[] = [];
  for (const place of layout.places) {
    const rule = ruleOf(place.tensor);
    const end = place.first + Math.ceil(elementCount(place.tensor.shape) / 4) * 4;
    const last = runs.at(-1);
    if (last?.rule === rule) {
      last.places.push(place);
      last.end = end;
    } else runs.push({ rule, places: [place], first: place.first, end });
  }
  return runs;
}

function createGroup(
  gpu: Gpu,
  { layout, matrices, master, gradient }: TrainedArena,
  { rule, places, first, end }: Run,
  { decayNorms }: OptimizerOptions,
): ParameterGroup {
  const length = end - first;
  const own = (whole: Tensor) =>
    length === layout.length ? whole : part(gpu, whole, whole.storage.label, first, [length]);
  const inGroup = places.map((place) => ({ ...place, first: place.first - first }));
  return {
    rule,
    places: inGroup,
    tensors: {
      weight: own(master),
      gradient: own(gradient),
      slots: mapValues(rule.slots, (dtype, name) => createTensor(gpu, name, dtype, [length])),
      scratch: {},
    },
    matrices: inGroup.flatMap(matricesOf),
    decaying: decayNorms ? length : Math.max(0, Math.min(matrices - first, length)),
  };
}

/** The matrices of a checkpoint that are stacked in a parameter. */
function matricesOf({ tensor, first }: Layout<ParameterSpec>["places"][number]): MatrixPlace[] {
  return tensor.checkpoint.flatMap(({ shape: [rows, columns], firstRow }) =>
    columns === undefined ? [] : [{ first: first + firstRow * columns, rows, columns }]
  );
}

function mapValues<From, To>(
  record: Readonly<Record<string, From>>,
  change: (value: From, name: string) => To,
): Record<string, To> {
  const entries = Object.entries(record).map(([name, value]) =>
    [name, change(value, name)] as const
  );
  return Object.fromEntries(entries);
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
  const { state, numbers, slices, partials, groups } = optimizer;
  const likeAll = (tensors: Record<string, Tensor>) => mapValues(tensors, standIn);
  return {
    ...optimizer,
    state: standIn(state),
    numbers: standIn(numbers),
    slices: slices.map(standIn),
    partials: standIn(partials),
    groups: groups.map(({ tensors: { weight, gradient, slots, scratch }, ...group }) => ({
      ...group,
      tensors: {
        weight: standIn(weight),
        gradient: standIn(gradient),
        slots: likeAll(slots),
        scratch: likeAll(scratch),
      },
    })),
  };
}

/**
 * Updates what trains by its gradients, without the CPU: global norm, clipping, overflow check, the rules of the optimizer's
 * row, and the operands that are copies of the weights.
 */
export function update(
  commands: Commands,
  weights: Weights,
  { row, options, state, numbers, slices, partials, groups, dynamic }: Optimizer,
  learningRate: number,
): void {
  for (const [i, { gradient }] of weights.trained.entries()) {
    gradNormPartial(commands, partials, gradient, slices[i]);
  }
  gradNorm(commands, state, partials, { maxNorm: options.maxGradNorm, dynamic });
  row.begin?.(commands, numbers, state, { ...options, learningRate });
  for (const { rule, tensors, matrices, decaying } of groups) {
    const given = { ...options, learningRate, decaying };
    rule.update(commands, { ...tensors, state, numbers }, given, matrices);
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
export function slotsOf({ groups }: Optimizer): Slot[] {
  return groups.flatMap(({ places, tensors: { slots } }) =>
    places.flatMap(({ tensor: { name, shape }, first }) =>
      Object.entries(slots).map(([slot, tensor]) => ({
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
