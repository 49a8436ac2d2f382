import { UserError } from "../errors.ts";
import { adapterName, type Gpu, listAdapters, openGpu } from "../gpu/device.ts";
import type { Operand } from "../kernels/shapes.ts";
import { ensureAdapter } from "../platform/adapter_setup.ts";
import { loadEngine, mapsWithinCall } from "../platform/engine.ts";
import type { Context } from "./context.ts";

interface DeviceOptions {
  engine: "deno" | "dawn";
  adapter: string | null;
  precision: "auto" | Operand;
}

/** A device, the precision to use on it, and why. */
export interface OpenDevice {
  gpu: Gpu;
  precision: Operand;
  precisionReason: string;
}

/** What it says is said once, however many devices a command opens. */
let ensured: Promise<void> | undefined;

/**
 * Opens the device that the options ask for, installing a software adapter where there is none.
 *
 * @returns null if the user only wanted to see the adapters; they have been printed then.
 * @throws {UserError} If there is no such adapter, or it lacks f16 where that was asked for.
 */
export async function openDevice(
  { engine, adapter, precision }: DeviceOptions,
  { stdout, stderr, sharesThread }: Pick<Context, "stdout" | "stderr" | "sharesThread">,
): Promise<OpenDevice | null> {
  if (engine === "deno") await (ensured ??= ensureAdapter((line) => stderr.write(`${line}\n`)));
  const entry = await loadEngine(engine);
  if (adapter === "list") {
    for (const [index, found] of (await listAdapters(entry)).entries()) {
      stdout.write(`${index}: ${adapterName(found)}\n`);
    }
    return null;
  }
  const gpu = await openGpu(entry, {
    engine,
    choice: adapter ?? undefined,
    mapsWithinCall: mapsWithinCall(engine),
  });
  if (sharesThread) gpu.share();
  return { gpu, ...choosePrecision(gpu, precision) };
}

/** A device for headers: what it is, what it offers, and the precision with the reason. */
export function deviceInWords({ gpu, precision, precisionReason }: OpenDevice): string {
  const { description, engine } = gpu.info;
  return `${description} (engine ${engine}; ${
    featuresInWords(gpu.features)
  }), ${precision}: ${precisionReason}`;
}

/** A device for people who only want to know where their training runs. */
export function deviceShortly({ gpu, precision, precisionReason }: OpenDevice): string {
  const { description, software } = gpu.info;
  return `${description}${software ? ", a CPU" : ""}; ${precision}, as ${precisionReason}`;
}

/** The optional features that a device has. */
export function featuresInWords(features: Gpu["features"]): string {
  const names = Object.entries(features).filter(([, has]) => has).map(([name]) => name);
  return names.length > 0 ? `with ${names.join(", ")}` : "without optional features";
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
  if (info.software) {
    return { precision: "f32", precisionReason: "a CPU gains nothing from f16" };
  }
  return { precision: "f16", precisionReason: "the device has shader-f16" };
}
