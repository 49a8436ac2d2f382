// This module is browser compatible.
/**
 * Which variant of a kernel a device gets, at which sizes, and the measurement that says so: the one place where
 * kernels tell kinds of devices apart. The kernel tests run every variant that their device can run; those by lanes need a
 * software adapter with subgroups.
 *
 * @module
 */
import type { Gpu } from "../gpu/device.ts";
import type { Operand } from "./shapes.ts";

/**
 * `gpu`: hardware. `lanes`: a software adapter such as lavapipe whose subgroups have a known size, for which kernels with
 * `_lanes` in their names are written. `cpu`: another software adapter.
 */
export type DeviceClass = "gpu" | "lanes" | "cpu";

/** What a row may be chosen by: of a matrix product, those of its result. */
export interface Sizes {
  rows?: number;
  columns?: number;
  /** Terms of each sum. */
  steps?: number;
}

/** A variant: the first row that names the device and that the sizes fit is taken. */
export interface Row<Choice> {
  devices: DeviceClass[];
  choice: Choice;
  fits?: (sizes: Required<Sizes>) => boolean;
}

/** Tiles of `TILE` x `TILE` (tile_product.wgsl), or a subgroup for 24 rows (lane_product.wgsl). */
export type ProductChoice = { TILE: 32 | 64 } | "lanes";

const tiles = ({ rows, columns }: Required<Sizes>, size: number) =>
  Math.ceil(rows / size) * Math.ceil(columns / size);

/** So many, or as many as the device has for a workgroup; or one subgroup, which needs no barriers. */
export type ThreadsChoice = 64 | 128 | 256 | 512 | 1024 | "lanes";

export interface Choices {
  /** The three matrix products of training, and prefilling. */
  product: ProductChoice;
  /** Attention of training and prefilling. */
  attention: "tiles" | "lanes";
  /** The products of decoding: so many threads for a result, or a subgroup for the columns of all its lanes. */
  matvec: { LANES: 8 | 64 } | "lanes";
  /** Attention of decoding: the size of a workgroup, or a subgroup. */
  attentionDecode: { WORKGROUP: 64 | 256 } | "lanes";
  /** Parts that the sums of matmul_backward_input are cut into, each with workgroups of its own. */
  sumParts: 1 | 8;
  /** Bytes of logits that the head computes at a time, within what a device can bind. */
  logitsBytes: number;
  /** What operands are stored as where the user leaves it open and the device has f16. */
  precision: Operand;
  /** What norms and gates hand to the products of a layer: kept for the backward pass, or computed again there. */
  productInputs: "kept" | "recomputed";
  /** Tokens that a forward pass without backward takes at a time, and those of prompts, if the device binds so many. */
  scoredTokens: number;
  prefilledTokens: number;
  /** Threads that reduce a row, or a part of a gradient; see {@link reducingThreads}. */
  rmsnorm: ThreadsChoice;
  logprob: ThreadsChoice;
  sample: ThreadsChoice;
  gradNorm: ThreadsChoice;
}

export const TUNING: { [Kernel in keyof Choices]: Row<Choices[Kernel]>[] } = {
  product: [
    // 24 rows: 5.2 times as fast as tiles of 64 (16 rows 4.7, 32 rows 5.5), and compiled in half the time of 32 (geometric
    // mean of the shipped model's four products at 300 and 1,744 rows, Mesa 22.3, AMD EPYC, two cores, 2026-11-27).
    { devices: ["lanes"], choice: "lanes" },
    // A CPU has few processors; but what it does for rows that are not there takes its time.
    { devices: ["cpu"], choice: { TILE: 32 }, fits: ({ rows }) => rows <= 32 },
    { devices: ["cpu"], choice: { TILE: 64 } },
    // With fewer large tiles than 320, small ones are faster on a GPU of 132 processors (an H100, tests/bench/LOG.md).
    { devices: ["gpu"], choice: { TILE: 32 }, fits: (sizes) => tiles(sizes, 64) < 320 },
    { devices: ["gpu"], choice: { TILE: 64 } },
  ],
  attention: [
    { devices: ["lanes"], choice: "lanes" },
    { devices: ["gpu", "cpu"], choice: "tiles" },
  ],
  matvec: [
    { devices: ["lanes"], choice: "lanes" },
    // A GPU's neighbouring threads should read neighbouring weights; a CPU pays for each thread.
    { devices: ["cpu"], choice: { LANES: 8 } },
    { devices: ["gpu"], choice: { LANES: 64 } },
  ],
  attentionDecode: [
    { devices: ["lanes"], choice: "lanes" },
    // A GPU reads more keys at once; a CPU pays for idle threads: 256 take 1.4 ms against 0.3 for 60 keys.
    { devices: ["cpu"], choice: { WORKGROUP: 64 } },
    { devices: ["gpu"], choice: { WORKGROUP: 256 } },
  ],
  sumParts: [
    // The head's input gradient has few rows and columns and a sum over the vocabulary: 49 ms of a 218 ms step on an H100,
    // at a fourth of the speed of the other products, as 90 workgroups cannot fill 132 processors. By the length of the sum
    // alone, so that a row's bits do not depend on the batch. To be measured on a GPU.
    { devices: ["gpu"], choice: 8, fits: ({ steps }) => steps >= 16384 },
    { devices: ["gpu", "lanes", "cpu"], choice: 1 },
  ],
  logitsBytes: [
    // A pair of 766 scored rows and a vocabulary of 49,152 fits: in chunks of 128 MiB its logits were computed twice, 17 ms of
    // a 218 ms step on an H100.
    { devices: ["gpu"], choice: 2 ** 28 },
    { devices: ["lanes", "cpu"], choice: 2 ** 27 },
  ],
  precision: [
    { devices: ["gpu"], choice: "f16" },
    { devices: ["lanes", "cpu"], choice: "f32" }, // f16 is no faster there (LOG.md, "Half precision")
  ],
  productInputs: [
    // Of each layer of SmolLM-135M they would take 5 KB a token beside the 14 that it keeps: less of a GPU's memory is worth more.
    { devices: ["gpu"], choice: "recomputed" },
    // Computing them again takes 3.6 % of a step's passes (4.3 of 118 ms, the shipped model, Mesa 22.3, AMD EPYC, two cores,
    // 2026-11-27; not measured on other CPU adapters).
    { devices: ["lanes", "cpu"], choice: "kept" },
  ],
  scoredTokens: [
    { devices: ["gpu"], choice: 4096 },
    // A CPU is as quick with few (RESULTS.md, "Training beside answers"), and a kernel over many would last a second.
    { devices: ["lanes", "cpu"], choice: 512 },
  ],
  prefilledTokens: [
    { devices: ["gpu"], choice: 2048 },
    { devices: ["lanes", "cpu"], choice: 512 }, // as quick with few, and others have their turn
  ],
  rmsnorm: [
    { devices: ["lanes"], choice: "lanes" },
    { devices: ["gpu", "cpu"], choice: 64 },
  ],
  logprob: [
    { devices: ["lanes"], choice: "lanes" },
    { devices: ["cpu"], choice: 128 },
    { devices: ["gpu"], choice: 512 }, // a row has tens of thousands of logits; to be measured on a GPU
  ],
  sample: [
    { devices: ["lanes"], choice: "lanes" },
    // More threads of a CPU only wait for each other longer.
    { devices: ["cpu"], choice: 64 },
    // A row has one workgroup, so a GPU gets the largest it takes.
    { devices: ["gpu"], choice: 1024 },
  ],
  gradNorm: [
    // Slices are runs here: 1.2 ms against 2.8 where they take turns, as neighbours on a GPU should (the shipped model's 2.1
    // million weights, Mesa 22.3, AMD EPYC, two cores beside other work, 2026-11-27).
    { devices: ["lanes"], choice: "lanes" },
    { devices: ["gpu", "cpu"], choice: 256 },
  ],
};

/** What a device is to the table. */
export function deviceClass({ info, features }: Gpu): DeviceClass {
  if (!info.software) return "gpu";
  return features.subgroups && (info.lanes === 4 || info.lanes === 8) ? "lanes" : "cpu";
}

const preferred = new WeakMap<Gpu, Partial<Choices>>();

/** What the table says for a device and sizes, or what {@link prefer} said. */
export function tuned<Kernel extends keyof Choices>(
  gpu: Gpu,
  kernel: Kernel,
  { rows = 0, columns = 0, steps = 0 }: Sizes = {},
): Choices[Kernel] {
  const device = deviceClass(gpu);
  return preferred.get(gpu)?.[kernel] ??
    TUNING[kernel].find(({ devices, fits = () => true }) =>
      devices.includes(device) && fits({ rows, columns, steps })
    )!.choice;
}

/** Threads of a workgroup that reduces to one number. */
export function reducingThreads(
  gpu: Gpu,
  kernel: "rmsnorm" | "logprob" | "sample" | "gradNorm",
): number {
  const choice = tuned(gpu, kernel);
  if (choice === "lanes") return gpu.info.lanes;
  const most = gpu.device.limits.maxComputeInvocationsPerWorkgroup;
  return Math.min(choice, 2 ** Math.floor(Math.log2(most)));
}

/** Has a device take one choice at all sizes, or again what the table says (undefined): for tests and measurements. */
export function prefer<Kernel extends keyof Choices>(
  gpu: Gpu,
  kernel: Kernel,
  choice: Choices[Kernel] | undefined,
): void {
  preferred.set(gpu, { ...preferred.get(gpu), [kernel]: choice });
}

/** The choices of a kernel that a device can run: those for software adapters with subgroups need such a one. */
export function runnable<Kernel extends keyof Choices>(
  gpu: Gpu,
  kernel: Kernel,
): Choices[Kernel][] {
  const lanes = deviceClass(gpu) === "lanes";
  return TUNING[kernel]
    .filter(({ devices }) => lanes || devices.some((device) => device !== "lanes"))
    .map(({ choice }) => choice);
}
