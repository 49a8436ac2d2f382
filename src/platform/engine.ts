import { UserError } from "../errors.ts";

/** Not a literal where it is imported: 130 MB that nothing downloads or type-checks before someone asks for them. */
const DAWN = "npm:webgpu@0.6.2" as string;

/**
 * Experimental features (subgroup matrices among them), and f16 on NVIDIA, which Dawn withholds from drivers before 615.71. Both
 * must be given when Dawn is made: later ones do not bear on the adapter.
 */
const DAWN_FLAGS = ["enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia"];

/** Dawn ends when its entry is collected, even with a device still in use. */
let dawn: GPU | undefined;

/** Versions of Deno whose `mapAsync` was seen to map within the call; tests/platform/engine_test.ts looks at a new one. */
const MAPS_WITHIN_CALL = ["2.9.6"];

/** Whether reading back need not wait for the promise of `mapAsync`; see Gpu.map. */
export function mapsWithinCall(engine: string): boolean {
  return engine === "deno" && MAPS_WITHIN_CALL.includes(Deno.version.deno);
}

/**
 * The WebGPU implementation to use: Deno's own (wgpu) or Dawn (npm `webgpu`), an optional dependency that is loaded only
 * when asked for.
 *
 * @param flags Of Dawn, instead of ours: `backend=null`, say.
 * @throws {UserError} If the engine is unknown or Dawn cannot be loaded.
 */
export async function loadEngine(
  engine: string,
  flags: readonly string[] = DAWN_FLAGS,
): Promise<GPU> {
  if (engine === "deno") return navigator.gpu;
  if (engine !== "dawn") {
    throw new UserError(`Expected --engine deno or dawn, found "${engine}"`);
  }
  if (dawn) return dawn;
  if (Deno.permissions.querySync({ name: "ffi" }).state !== "granted") {
    throw new UserError(
      "Expected --allow-ffi for --engine dawn, which the tasks do not give: " +
        "deno run -A --no-lock src/cli/main.ts COMMAND --engine dawn",
    );
  }
  try {
    const { create, globals } = await import(DAWN);
    // Dawn looks for finished work by setImmediate, again and again. Without a pause it keeps a core busy, and Deno takes
    // minutes to clean up after a wait of seconds. GPUBufferUsage and its like come in Dawn's own numbers.
    Object.assign(globalThis, globals, {
      setImmediate: (look: () => void) => setTimeout(look, 1),
    });
    return dawn = create([...flags]) as GPU;
  } catch (error) {
    throw new UserError(
      `Cannot load Dawn (${DAWN}): ${
        (error as Error).message
      }: is it built for this platform? --engine deno is`,
    );
  }
}
