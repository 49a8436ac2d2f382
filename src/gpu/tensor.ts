// This module is browser compatible.
import { UserError } from "../errors.ts";
import type { Gpu } from "./device.ts";
import type { Content, Encoding } from "./encoding.ts";

export type Dtype = "f32" | "f16" | "u32";

/** A range of a GPU buffer that kernels bind as a whole. The id stands for it in bind group caches. */
export interface Storage {
  id: number;
  /** How messages call what lies there. */
  label: string;
  buffer: GPUBuffer;
  offsetBytes: number;
  sizeBytes: number;
  /** Of the buffer: storages that share it share this. */
  content: Content;
  /** The same numbers as a texture, for kernels that read one. */
  texture?: TensorTexture;
  /** Storages that start further in, by their first byte; see {@link rowsFrom}. */
  parts?: Map<number, Storage>;
  /** Called when it is freed: see {@link whenFreed}. */
  onFree?: Set<() => void>;
}

/** The texture of a storage; see texture.ts. */
export interface TensorTexture {
  texture: GPUTexture;
  view: GPUTextureView;
  /** Of the storage's content, when it was copied; and how much of it was. */
  version: number;
  copiedBytes: number;
  /** Whose commands copied it: a copy that the GPU never got does not count. */
  copiedBy: Encoding | undefined;
}

/** Numbers on the GPU: row-major, the last dimension contiguous. Views share the storage and differ in shape. */
export interface Tensor {
  readonly storage: Storage;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
}

const BYTES: Record<Dtype, number> = { f32: 4, f16: 2, u32: 4 };
let nextId = 0;

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Bytes of elements, without padding. */
export function bytesOf(dtype: Dtype, shape: readonly number[]): number {
  return elementCount(shape) * BYTES[dtype];
}

export function byteLength({ dtype, shape }: Tensor): number {
  return bytesOf(dtype, shape);
}

/**
 * Allocates a zeroed tensor.
 *
 * @throws {UserError} If the adapter cannot bind that many bytes at once.
 */
export function createTensor(gpu: Gpu, label: string, dtype: Dtype, shape: number[]): Tensor {
  checkTensor(gpu, label, dtype, shape);
  const sizeBytes = paddedBytes(dtype, shape);
  const buffer = gpu.device.createBuffer({
    label,
    size: sizeBytes,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
  });
  gpu.count(sizeBytes);
  const content = { version: 0 };
  const storage = { id: nextId++, label, buffer, offsetBytes: 0, sizeBytes, content };
  return { storage, shape, dtype };
}

/**
 * Checks a tensor that is to be allocated.
 *
 * @throws {UserError} If the adapter cannot bind that many bytes at once.
 */
export function checkTensor(
  gpu: Gpu,
  label: string,
  dtype: Dtype,
  shape: readonly number[],
): void {
  const sizeBytes = paddedBytes(dtype, shape);
  const limit = mostTensorBytes(gpu);
  if (sizeBytes <= limit) return;
  throw new UserError(
    `Cannot allocate "${label}" (${shape.join(", ")}) ${dtype}: expected at most ${
      mib(limit)
    } MiB in one buffer on "${gpu.info.description}", found ${
      mib(sizeBytes)
    } MiB: pick another --adapter, a smaller model, or a smaller --per-device-train-batch-size`,
  );
}

/** Kernels read and write four elements at a time, so storages are padded to whole 16 bytes. */
function paddedBytes(dtype: Dtype, shape: readonly number[]): number {
  return Math.max(16, Math.ceil(bytesOf(dtype, shape) / 16) * 16);
}

/** Bytes of the largest tensor that the device can hold and bind. */
export function mostTensorBytes({ device: { limits } }: Gpu): number {
  return Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
}

const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(0);

/** The same storage seen with another shape: fewer rows of a workspace, or other dimensions. */
export function view(tensor: Tensor, shape: number[]): Tensor {
  if (elementCount(shape) * BYTES[tensor.dtype] > tensor.storage.sizeBytes) {
    throw new RangeError(
      `Cannot view ${label(tensor)} as (${shape.join(", ")}): expected at most ${
        tensor.storage.sizeBytes / BYTES[tensor.dtype]
      } elements, found ${elementCount(shape)}`,
    );
  }
  return { storage: tensor.storage, shape, dtype: tensor.dtype };
}

/**
 * The elements of a tensor from `first` on as a tensor of their own, which is freed with the whole one: several make an arena.
 *
 * @throws {RangeError} If they do not begin at a multiple of the device's storage offset alignment, or end behind the tensor.
 */
export function part(
  gpu: Gpu,
  whole: Tensor,
  name: string,
  first: number,
  shape: readonly number[],
): Tensor {
  const { buffer, content, offsetBytes } = whole.storage;
  const start = first * BYTES[whole.dtype];
  const sizeBytes = paddedBytes(whole.dtype, shape);
  if (
    start % gpu.device.limits.minStorageBufferOffsetAlignment !== 0 ||
    start + sizeBytes > whole.storage.sizeBytes
  ) {
    throw new RangeError(
      `Cannot take (${shape.join(", ")}) of ${label(whole)} from ${first}: not aligned or too long`,
    );
  }
  const storage = {
    id: nextId++,
    label: name,
    buffer,
    content,
    offsetBytes: offsetBytes + start,
    sizeBytes,
  };
  whenFreed([whole], () => freed(storage));
  return { storage, shape, dtype: whole.dtype };
}

/**
 * Rows `first .. first + count` as a tensor of their own.
 *
 * @throws {RangeError} If the first row does not begin at a multiple of the device's storage offset alignment.
 */
export function rowsFrom(gpu: Gpu, tensor: Tensor, first: number, count: number): Tensor {
  const shape = [count, ...tensor.shape.slice(1)];
  if (first === 0) return view(tensor, shape);
  const start = first * elementCount(tensor.shape.slice(1)) * BYTES[tensor.dtype];
  if (start % gpu.device.limits.minStorageBufferOffsetAlignment !== 0) {
    throw new RangeError(`Cannot take rows of ${label(tensor)} from ${first}: not aligned`);
  }
  const parts = tensor.storage.parts ??= new Map<number, Storage>();
  let storage = parts.get(start);
  if (!storage) {
    const { label, buffer, offsetBytes, sizeBytes, content } = tensor.storage;
    storage = {
      id: nextId++,
      label,
      buffer,
      content,
      offsetBytes: offsetBytes + start,
      sizeBytes: sizeBytes - start,
    };
    parts.set(start, storage);
  }
  return view({ storage, shape, dtype: tensor.dtype }, shape);
}

/** Frees a tensor behind the work that was submitted before. */
export function destroyTensor(gpu: Gpu, { storage }: Tensor): void {
  gpu.count(-storage.sizeBytes);
  gpu.act(() => {
    freed(storage);
    storage.buffer.destroy();
  });
}

function freed({ onFree = new Set(), parts = new Map() }: Storage): void {
  for (const forget of onFree) forget();
  for (const part of parts.values()) freed(part);
}

/** Calls `forget` once, when the first of the tensors is freed. */
export function whenFreed(tensors: readonly Tensor[], forget: () => void): void {
  const listeners = tensors.map(({ storage }) => storage.onFree ??= new Set());
  const forgetOnce = () => {
    for (const each of listeners) each.delete(forgetOnce); // those that live on keep nothing of it
    forget();
  };
  for (const each of listeners) each.add(forgetOnce);
}

/**
 * Copies data to the elements of the tensor from `first` on; the queue orders it before later submits.
 *
 * @param first The start of a 32-bit word: even, where elements are f16.
 */
export function writeTensor(
  gpu: Gpu,
  tensor: Tensor,
  data: Float32Array | Uint32Array | Float16Array,
  first = 0,
): void {
  if (first + data.length > elementCount(tensor.shape)) {
    throw new RangeError(
      `Cannot write to ${label(tensor)}: expected at most ${
        elementCount(tensor.shape) - first
      } elements from ${first} on, found ${data.length}`,
    );
  }
  if (first * BYTES[tensor.dtype] % 4 !== 0) {
    throw new RangeError(`Cannot write to ${label(tensor)} from ${first} on: expected whole words`);
  }
  const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  const whole = bytes.length & ~3;
  const { buffer, content } = tensor.storage;
  gpu.act(() => content.version++);
  const offsetBytes = tensor.storage.offsetBytes + first * BYTES[tensor.dtype];
  if (whole > 0) gpu.write(buffer, offsetBytes, bytes.subarray(0, whole));
  if (whole < bytes.length) { // an odd number of f16: WebGPU writes whole words only
    const word = new Uint8Array(4);
    word.set(bytes.subarray(whole));
    gpu.write(buffer, offsetBytes + whole, word);
  }
}

/**
 * Reads the tensor back, or `count` elements from `first` on, which is the start of a 32-bit word. Waits for the queue (11 ms
 * and the thread in Deno): not for the inside of a step.
 */
export async function readTensor(
  gpu: Gpu,
  tensor: Tensor,
  first = 0,
  count = elementCount(tensor.shape) - first,
): Promise<Float32Array<ArrayBuffer>> {
  const bytes = await readBytes(gpu, tensor, first, count);
  return tensor.dtype === "f16"
    ? new Float32Array(new Float16Array(bytes, 0, count))
    : new Float32Array(bytes, 0, count);
}

/** {@link readTensor} for whole numbers. */
export async function readTensorU32(gpu: Gpu, tensor: Tensor): Promise<Uint32Array> {
  const count = elementCount(tensor.shape);
  return new Uint32Array(await readBytes(gpu, tensor, 0, count), 0, count);
}

async function readBytes(
  gpu: Gpu,
  tensor: Tensor,
  first: number,
  count: number,
): Promise<ArrayBuffer> {
  gpu.check();
  const offset = tensor.storage.offsetBytes + first * BYTES[tensor.dtype];
  const size = Math.ceil(count * BYTES[tensor.dtype] / 4) * 4;
  const staging = takeStaging(gpu, size);
  gpu.act(() => {
    const encoder = gpu.device.createCommandEncoder();
    encoder.copyBufferToBuffer(tensor.storage.buffer, offset, staging, 0, size);
    gpu.device.queue.submit([encoder.finish()]);
  });
  try {
    const bytes = await gpu.readBuffer(staging, size);
    keepStaging(gpu, staging);
    return bytes;
  } catch (error) {
    gpu.act(() => staging.destroy()); // behind the copy, which may still wait for its turn
    throw error;
  }
}

/** Buffers to read through, kept from one read to the next: the first time that one is mapped costs 10 ms more in Deno. */
const stagings = new WeakMap<Gpu, GPUBuffer>();
const LEAST_STAGING = 2 ** 20;
/** What is larger takes long enough as it is. */
const MOST_STAGING = 2 ** 24;

/** A buffer that nobody else reads through meanwhile. */
function takeStaging(gpu: Gpu, sizeBytes: number): GPUBuffer {
  const kept = stagings.get(gpu);
  if (kept && kept.size >= sizeBytes) {
    stagings.delete(gpu);
    return kept;
  }
  return gpu.device.createBuffer({
    label: "readback",
    size: Math.max(sizeBytes, LEAST_STAGING),
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
}

/** Keeps the larger one of two. */
function keepStaging(gpu: Gpu, staging: GPUBuffer): void {
  const kept = stagings.get(gpu);
  if (staging.size > MOST_STAGING || kept && kept.size >= staging.size) {
    staging.destroy();
    return;
  }
  kept?.destroy();
  stagings.set(gpu, staging);
}

export function label(tensor: Tensor): string {
  return `"${tensor.storage.label}" (${tensor.shape.join(", ")}) ${tensor.dtype}`;
}
