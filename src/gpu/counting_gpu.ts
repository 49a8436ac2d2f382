// This module is browser compatible.
import { Gpu } from "./device.ts";
import { createTensor, type Storage, type Tensor, view } from "./tensor.ts";

/** Whatever is asked of it is done at once: nothing happens, and it is its own result. */
const inert: unknown = new Proxy(() => {}, {
  get: (_, name) => name === "then" ? undefined : inert,
  apply: () => inert,
});

/** A buffer without memory that reads as zeros. */
function emptyBuffer({ label = "", size }: GPUBufferDescriptor): Partial<GPUBuffer> {
  return {
    label,
    size,
    mapAsync: () => Promise.resolve(undefined),
    getMappedRange: (_, bytes = size) => new ArrayBuffer(bytes),
    unmap: () => undefined,
    destroy: () => undefined,
  };
}

/**
 * A device with the features and limits of another one that computes nothing and has no memory: after a piece of work on it,
 * its `memory` says what that work takes.
 */
export function countingGpu({ device, info }: Gpu): Gpu {
  const known: Record<string, unknown> = {
    features: device.features,
    limits: device.limits,
    lost: new Promise(() => {}),
    createBuffer: emptyBuffer,
    popErrorScope: () => Promise.resolve(null),
  };
  const counting = new Proxy({}, { get: (_, name) => known[String(name)] ?? inert });
  return new Gpu(counting as GPUDevice, info);
}

/** Gives a tensor of another device one that stands for it. */
export type StandIn = (tensor: Tensor) => Tensor;

/** Stand-ins on a counting device, one for each tensor; those that share their storage elsewhere do so here. */
export function standIns(counting: Gpu): StandIn {
  const storages = new Map<Storage, Tensor>();
  const tensors = new Map<Tensor, Tensor>();
  return (tensor) => {
    const { storage, dtype, shape } = tensor;
    let whole = storages.get(storage);
    if (!whole) {
      whole = createTensor(counting, storage.label, dtype, [...shape]);
      storages.set(storage, whole);
    }
    let own = tensors.get(tensor);
    if (!own) tensors.set(tensor, own = view(whole, [...shape]));
    return own;
  };
}
