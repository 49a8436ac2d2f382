import { UserError } from "../errors.ts";

/**
 * The WebGPU implementation to use: Deno's own (wgpu) or Dawn (npm `webgpu`), an optional dependency that is loaded only
 * when asked for.
 *
 * @throws {UserError} If the engine is unknown or Dawn cannot be loaded.
 */
export async function loadEngine(engine: string): Promise<GPU> {
  if (engine === "deno") return navigator.gpu;
  if (engine !== "dawn") {
    throw new UserError(`Expected --engine deno or dawn, found "${engine}"`);
  }
  try {
    const { create, globals } = await import("webgpu");
    Object.assign(globalThis, globals); // GPUBufferUsage and its like, in Dawn's own numbers
    return create([]);
  } catch (error) {
    throw new UserError(
      `Cannot load Dawn (npm package "webgpu"): ${
        (error as Error).message
      }: it needs --allow-ffi and a platform it is built for; --engine deno needs neither`,
    );
  }
}
