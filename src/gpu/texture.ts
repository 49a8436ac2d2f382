// This module is browser compatible.
/**
 * Tensors as textures. Where it was measured, a CPU adapter loads a texel of a storage texture in a third to a half of the time
 * of a sampled texture's, or of a vec4 of a buffer (tests/bench/LOG.md). So there, kernels read some tensors as storage textures.
 * Such a tensor gets one, a copy that is renewed when it is read and the tensor was written since.
 *
 * Texel i holds elements 4 i to 4 i + 3 and lies in column i % {@link TEXTURE_WIDTH}, row i / TEXTURE_WIDTH, whatever the
 * tensor's shape.
 *
 * @module
 */
import type { Gpu } from "./device.ts";
import type { Encoding } from "./encoding.ts";
import { byteLength, type Storage, type Tensor, type TensorTexture, whenFreed } from "./tensor.ts";

/** Types of tensors that can be textures. */
export type TexelType = "f32" | "f16";

/** Texels of a row. */
export const TEXTURE_WIDTH = 4096;

const FORMATS = {
  f32: { format: "rgba32float", texelBytes: 16 },
  f16: { format: "rgba16float", texelBytes: 8 },
} as const;

/** What a tensor's texture is stored as. */
export function textureFormat(type: TexelType): GPUTextureFormat {
  return FORMATS[type].format;
}

/** Whether the device has textures that are large enough for the tensor. */
export function fitsTexture({ device }: Gpu, tensor: Tensor): boolean {
  if (tensor.dtype === "u32") return false;
  const texels = tensor.storage.sizeBytes / FORMATS[tensor.dtype].texelBytes;
  return textureHeight(texels) <= device.limits.maxTextureDimension2D;
}

/**
 * Rows of a texture, never a power of two. Mesa 22.3 compiles a kernel once for textures with a side that is a power of two, and
 * once more for others. Now all textures are alike to it. A default `train` compiles 35 times in place of 48, and takes 16.5 s in
 * place of 20.5 where nothing was compiled before (AMD EPYC, two cores, 2026-11-27).
 */
function textureHeight(texels: number): number {
  let rows = Math.ceil(texels / TEXTURE_WIDTH);
  while ((rows & (rows - 1)) === 0) rows++;
  return rows;
}

/**
 * Sees to it that the tensor has a texture (`tensor.storage.texture`) and that this is up to date for the commands that
 * follow in the encoding.
 *
 * @param tensor f32 or f16.
 * @throws {RangeError} If it has another type.
 */
export function textureOf(gpu: Gpu, tensor: Tensor, encoding: Encoding): void {
  const { storage, dtype } = tensor;
  if (dtype === "u32") throw new RangeError("Expected a texture's tensor in f32 or f16, found u32");
  const { texelBytes } = FORMATS[dtype];
  const entry = storage.texture ??= createTexture(gpu, tensor, dtype);
  const bytes = Math.min(
    storage.sizeBytes,
    Math.ceil(byteLength(tensor) / texelBytes) * texelBytes,
  );
  const upToDate = entry.version === storage.content.version && entry.copiedBytes >= bytes &&
    (entry.copiedBy === encoding || entry.copiedBy?.finished);
  if (upToDate) return;
  copyToTexture(encoding, entry.texture, storage, bytes / texelBytes, texelBytes);
  entry.version = storage.content.version;
  entry.copiedBytes = bytes;
  entry.copiedBy = encoding;
}

function createTexture(gpu: Gpu, tensor: Tensor, dtype: TexelType): TensorTexture {
  const { storage } = tensor;
  const { format, texelBytes } = FORMATS[dtype];
  const texels = storage.sizeBytes / texelBytes;
  const size = [TEXTURE_WIDTH, textureHeight(texels)];
  const texture = gpu.device.createTexture({
    label: storage.label,
    size,
    format,
    usage: GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.COPY_DST,
  });
  const sizeBytes = size[0] * size[1] * texelBytes;
  gpu.count(sizeBytes);
  whenFreed([tensor], () => {
    gpu.count(-sizeBytes);
    texture.destroy();
  });
  return {
    texture,
    view: texture.createView(),
    version: -1,
    copiedBytes: 0,
    copiedBy: undefined,
  };
}

/** Copies the first texels: whole rows, then the rest. */
function copyToTexture(
  { copier }: Encoding,
  texture: GPUTexture,
  { buffer, offsetBytes }: Storage,
  texels: number,
  texelBytes: number,
): void {
  const bytesPerRow = TEXTURE_WIDTH * texelBytes;
  const rows = Math.floor(texels / TEXTURE_WIDTH);
  const rest = texels % TEXTURE_WIDTH;
  if (rows > 0) {
    copier.copyBufferToTexture({ buffer, offset: offsetBytes, bytesPerRow }, { texture }, [
      TEXTURE_WIDTH,
      rows,
    ]);
  }
  if (rest > 0) {
    copier.copyBufferToTexture(
      { buffer, offset: offsetBytes + rows * bytesPerRow },
      { texture, origin: [0, rows] },
      [rest, 1],
    );
  }
}
