import { UserError } from "../errors.ts";
import { adapterName, type Gpu, listAdapters, openGpu } from "../gpu/device.ts";
import type { Operand } from "../kernels/shapes.ts";
import { tuned } from "../kernels/tuning.ts";
import { ensureAdapter } from "./adapter_setup.ts";
import { loadEngine, mapsWithinCall } from "./engine.ts";
import type { DeviceOptions, OpenDevice } from "../run/ports.ts";

/** What it says is said once, however many devices a command opens. */
let ensured: Promise<void> | undefined;

/** Who opens a device. */
export interface Opening {
  /** Gets what is said of drivers, a line at a time. */
  say(line: string): void;
  /** Other work goes on in this thread, and the device lets it have its turn. */
  sharesThread?: boolean;
}

/**
 * Opens the device that the options ask for, installing a software adapter where there is none.
 *
 * @throws {UserError} If there is no such adapter, or it lacks f16 where that was asked for.
 */
export async function openDevice(
  { engine, adapter, precision }: DeviceOptions,
  { say, sharesThread }: Opening,
): Promise<OpenDevice> {
  const entry = await openEngine(engine, say);
  const gpu = await openGpu(entry, {
    engine,
    choice: adapter ?? undefined,
    mapsWithinCall: mapsWithinCall(engine),
  });
  if (sharesThread) gpu.share();
  return { gpu, ...choosePrecision(gpu, precision) };
}

/** @returns The names of the adapters that there are, in the order of their indices. */
export async function adapterNames(
  { engine }: Pick<DeviceOptions, "engine">,
  { say }: Pick<Opening, "say">,
): Promise<string[]> {
  return (await listAdapters(await openEngine(engine, say))).map(adapterName);
}

async function openEngine(engine: DeviceOptions["engine"], say: Opening["say"]) {
  if (engine === "deno") await (ensured ??= ensureAdapter(say));
  return await loadEngine(engine);
}

function choosePrecision(gpu: Gpu, wish: "auto" | Operand): Omit<OpenDevice, "gpu"> {
  const { info, features } = gpu;
  if (wish === "f16" && !features.f16) {
    throw new UserError(
      `Expected a device with shader-f16 for --precision f16, found "${info.description}" without: use --precision f32`,
    );
  }
  if (wish !== "auto") return { precision: wish, precisionReason: "you asked for it" };
  if (!features.f16) return { precision: "f32", precisionReason: "the device lacks shader-f16" };
  if (tuned(gpu, "precision") === "f32") {
    return { precision: "f32", precisionReason: "a CPU gains nothing from f16" };
  }
  return { precision: "f16", precisionReason: "the device has shader-f16" };
}
