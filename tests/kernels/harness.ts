/** What every kernel test uses: a device, seeded numbers, guarded outputs, and a comparison that names the worst element. */
import assert from "node:assert/strict";
import { Commands } from "../../src/gpu/commands.ts";
import { Gpu, listAdapters, openGpu } from "../../src/gpu/device.ts";
import {
  createTensor,
  type Dtype,
  elementCount,
  readTensor,
  type Tensor,
  writeTensor,
} from "../../src/gpu/tensor.ts";
import { type Choices, prefer, runnable } from "../../src/kernels/tuning.ts";
import { mulberry32 } from "../../src/random.ts";
import { loadEngine, mapsWithinCall } from "../../src/platform/engine.ts";
import { unless } from "../skip.ts";

const engine = Deno.env.get("SMOLDPO_ENGINE") ?? "deno";

/** Another device of the kind that tests run on. */
export async function openTestGpu(): Promise<Gpu> {
  return await openGpu(await loadEngine(engine), {
    engine,
    mapsWithinCall: mapsWithinCall(engine),
  });
}

/** A device that has no more than WebGPU demands. */
export async function openLeastGpu(): Promise<Gpu> {
  const [adapter] = await listAdapters(await loadEngine(engine));
  return new Gpu(await adapter.requestDevice(), gpu.info);
}

/** The device of the test run; SMOLDPO_ENGINE=dawn runs the same tests on Dawn. */
export const gpu: Gpu = await openTestGpu();

// Devices have subgroups nearly everywhere; SMOLDPO_SUBGROUPS=off tests what runs on the others.
if (Deno.env.get("SMOLDPO_SUBGROUPS") === "off") gpu.features.subgroups = false;

/** Types a kernel is tested with: f16 joins in where the device has it. */
export const operandTypes: ("f32" | "f16")[] = gpu.features.f16 ? ["f32", "f16"] : ["f32"];
export const lackOfF16 = gpu.features.f16 ? null : `"${gpu.info.description}" lacks shader-f16`;
if (lackOfF16 !== null) Deno.test({ ...unless(lackOfF16, "kernels at f16"), fn: () => {} });

/** Checks every variant of a kernel in the tuning table that the device can run: those of other devices too. */
export async function forEachVariant<Kernel extends keyof Choices>(
  kernel: Kernel,
  check: (choice: Choices[Kernel]) => Promise<void>,
): Promise<void> {
  try {
    for (const choice of runnable(gpu, kernel)) {
      prefer(gpu, kernel, choice);
      await check(choice);
    }
  } finally {
    prefer(gpu, kernel, undefined);
  }
}

/** Uniform numbers in [-1, 1), the same for the same seed. */
export function random(seed: number): () => number {
  const bits = mulberry32(seed);
  return () => bits() / 2 ** 31 - 1;
}

/** `count` seeded numbers in [-scale, scale), rounded to what `dtype` holds so that references see the same input. */
export function values(seed: number, count: number, dtype: Dtype = "f32", scale = 1): Float32Array {
  const next = random(seed);
  const data = Float32Array.from({ length: count }, () => next() * scale);
  return dtype === "f16" ? Float32Array.from(Float16Array.from(data)) : data;
}

const GUARD = 64;

/** A tensor holding `data`, with NaN behind it (numbers beyond all others where they are whole) that nobody should read. */
export function upload(
  data: Float32Array | Uint32Array,
  shape: number[],
  dtype: Dtype = data instanceof Uint32Array ? "u32" : "f32",
): Tensor {
  const whole = createTensor(gpu, "input", dtype, [data.length + GUARD]);
  const poisoned = dtype === "u32"
    ? new Uint32Array(data.length + GUARD).fill(0xffffffff)
    : new Float32Array(data.length + GUARD).fill(NaN);
  poisoned.set(data);
  writeTensor(gpu, whole, dtype === "f16" ? Float16Array.from(poisoned) : poisoned);
  return { ...whole, shape };
}

/** Elements of a tensor's storage without the guards: kernels may write whole vec4s. */
const padded = (tensor: Pick<Tensor, "shape">) => Math.ceil(elementCount(tensor.shape) / 4) * 4;

/**
 * An output tensor full of NaN with guard elements behind it, so that an element never written and a write past the end
 * both show.
 */
export function output(shape: number[], dtype: "f32" | "f16" = "f32"): Tensor {
  const count = padded({ shape }) + GUARD;
  const whole = createTensor(gpu, "output", dtype, [count]);
  const fill = new Float32Array(count).fill(NaN);
  fill.fill(GUARD, count - GUARD);
  writeTensor(gpu, whole, dtype === "f16" ? Float16Array.from(fill) : fill);
  return { ...whole, shape };
}

/** Reads an {@link output}, and checks the guards behind it. */
export async function read(tensor: Tensor): Promise<Float32Array> {
  const end = padded(tensor);
  const all = await readTensor(gpu, { ...tensor, shape: [end + GUARD] });
  const touched = all.subarray(end).findIndex((value) => value !== GUARD);
  assert.equal(touched, -1, `wrote past the end: guard ${touched} holds ${all[end + touched]}`);
  return all.subarray(0, elementCount(tensor.shape));
}

/** Runs what `record` records, as one submit. */
export function run(record: (commands: Commands) => void): void {
  const commands = new Commands(gpu);
  record(commands);
  commands.submit();
}

/**
 * Asserts |found - expected| <= absolute + relative * |expected| everywhere; NaN never passes.
 */
export function assertClose(
  found: ArrayLike<number>,
  expected: ArrayLike<number>,
  { absolute, relative = 0, name = "value" }: {
    absolute: number;
    relative?: number;
    name?: string;
  },
): void {
  assert.equal(found.length, expected.length, `${name}: number of elements`);
  let worst = -1;
  let worstRatio = 1;
  for (let i = 0; i < expected.length; i++) {
    const ratio = Math.abs(found[i] - expected[i]) / (absolute + relative * Math.abs(expected[i]));
    if (!(ratio <= worstRatio)) {
      worst = i;
      worstRatio = Number.isNaN(ratio) ? Infinity : ratio;
    }
  }
  assert.equal(
    worst,
    -1,
    `${name}[${worst}]: expected ${expected[worst]}, found ${found[worst]}, ${
      worstRatio.toFixed(2)
    } times the tolerance`,
  );
}

/** Relative rounding of one stored result: half a unit in the last place, doubled for the way there. */
export const EPSILON = { f32: 2 ** -22, f16: 2 ** -10 };
