// This module is browser compatible.
import { UserError } from "../errors.ts";
import { Pace } from "./pace.ts";
import { nextEvents, type TurnOptions, Turns } from "./turns.ts";

/** What a device is, for headers, run records and benchmarks. */
export interface DeviceInfo {
  engine: string;
  vendor: string;
  architecture: string;
  description: string;
  /** True for a CPU adapter such as lavapipe or SwiftShader. */
  software: boolean;
  /** Threads of a subgroup; 0 where they differ or the engine does not say. */
  lanes: number;
}

/** The device is gone: its driver was reset, say. */
export class DeviceLostError extends UserError {
  /** @param reason As the device gave it. */
  constructor(readonly reason: string) {
    super(
      `Expected the GPU to go on, but the device was lost (${reason}): ` +
        "restart the command; with --resume a training run goes on from its last checkpoint",
    );
  }
}

/** See {@link Gpu.readBuffer}. */
export interface ReadOptions {
  onRead?: () => void;
  turn?: boolean;
}

const LOSS_TIMEOUT_MS = 1000;

/**
 * An open WebGPU device and what is known of it. One owner holds it; kernels get it through {@link Commands}.
 */
export class Gpu {
  readonly features: { f16: boolean; subgroups: boolean; timestamps: boolean };
  /** Bytes of all live tensors and their textures, and the most there were at one time. */
  memory = { bytes: 0, peakBytes: 0 };
  /** Directives that every shader using subgroups needs on this engine; Deno's naga rejects what Chrome demands. */
  readonly subgroupDirective: string;
  /** How much of its work it can be given at once. */
  readonly pace: Pace;
  /** Set if training and serving share this device: its work is then split into turns. */
  turns: Turns | undefined;
  /** Resolves with the {@link failure} once there is one. */
  readonly failed: Promise<Error>;
  #failure: Error | undefined;
  #onFailure: (failure: Error) => void;
  #closed = false;
  #mappedBefore = new WeakSet<GPUBuffer>();
  #pending: Promise<unknown>[] = [];

  /** @param mapsWithinCall Whether the engine's `mapAsync` does; see {@link map}. */
  constructor(
    readonly device: GPUDevice,
    readonly info: DeviceInfo,
    readonly mapsWithinCall = false,
  ) {
    this.features = {
      f16: device.features.has("shader-f16"),
      subgroups: device.features.has("subgroups" as GPUFeatureName),
      timestamps: device.features.has("timestamp-query"),
    };
    this.pace = new Pace(!info.software);
    this.subgroupDirective = info.engine === "deno" ? "" : "enable subgroups; ";
    ({ promise: this.failed, resolve: this.#onFailure } = Promise.withResolvers<Error>());
    device.addEventListener("uncapturederror", (event) => {
      this.fail(new Error(`WebGPU reported: ${(event as GPUUncapturedErrorEvent).error.message}`));
    });
    device.lost.then((lost) => {
      if (this.#closed) return;
      // In front of every failure that only follows from it.
      this.#failure = new DeviceLostError(lost.message || "no reason given");
      this.#onFailure(this.#failure);
    });
  }

  /** Counts bytes that were allocated, or freed where negative. */
  count(bytes: number): void {
    this.memory.bytes += bytes;
    this.memory.peakBytes = Math.max(this.memory.peakBytes, this.memory.bytes);
  }

  /** Remembers the first failure; {@link check} throws it where a caller can act on it. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#onFailure(this.#failure);
  }

  /** Why the device is of no more use: the first error that it has reported since it was opened. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Throws its {@link failure}. */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  /** Adds work whose failure is to be thrown by {@link settled}: an error scope, say. */
  watch(work: Promise<unknown>): void {
    this.#pending.push(work.catch((error) => this.fail(error)));
  }

  /** Waits for everything watched, then {@link check}s. */
  async settled(): Promise<void> {
    await Promise.all(this.#pending.splice(0));
    this.check();
  }

  /**
   * Lets others have their turn while work of this device goes on: it is done in parts, and waits until its results are
   * waited for. No bit of them changes.
   */
  share(options?: TurnOptions): void {
    this.turns = new Turns(this, options);
  }

  /** Does something to the device that has its place between submits: freeing a buffer, say. */
  act(action: () => void): void {
    if (this.turns) this.turns.act(action);
    else action();
  }

  /** Writes to a buffer, before later submits; the bytes may be overwritten afterwards. */
  write(buffer: GPUBuffer, offset: number, bytes: Uint8Array<ArrayBuffer>): void {
    if (this.turns) this.turns.write(buffer, offset, bytes);
    else this.device.queue.writeBuffer(buffer, offset, bytes);
  }

  /**
   * Waits for everything submitted, then copies the first bytes of a MAP_READ buffer. Others have their turn behind it.
   *
   * @param onRead Called when the bytes are there, before others have their turn.
   * @param turn Whether they have one: false where they just had.
   * @throws {UserError} If the device was lost.
   */
  async readBuffer(
    buffer: GPUBuffer,
    sizeBytes: number,
    { onRead = () => {}, turn = true }: ReadOptions = {},
  ): Promise<ArrayBuffer> {
    await this.turns?.finish();
    const bytes = await this.map(buffer, sizeBytes);
    onRead();
    if (this.turns) await this.turns.yield();
    else if (turn) await nextEvents();
    await this.settled(); // a map can succeed on a lost device
    return bytes;
  }

  /**
   * {@link readBuffer} of what the GPU has been given, without a turn for others.
   *
   * In Deno `mapAsync` waits for the GPU within the call and then sleeps for 10 ms before its promise resolves. Where the
   * engine is known to have mapped the buffer by then (`mapsWithinCall`), the promise is not waited for. It is for a buffer's
   * first time: before that, Deno 2.9 panics.
   */
  async map(buffer: GPUBuffer, sizeBytes: number): Promise<ArrayBuffer> {
    let bytes: ArrayBuffer;
    try {
      const mapped = buffer.mapAsync(GPUMapMode.READ, 0, sizeBytes);
      if (this.mapsWithinCall && this.#mappedBefore.has(buffer)) {
        mapped.catch(() => {}); // unmapped before it resolved; if it never was mapped, the next line throws
      } else await mapped;
      bytes = buffer.getMappedRange(0, sizeBytes).slice(0);
    } catch (error) {
      await this.#waitForLoss();
      this.check();
      throw error;
    }
    buffer.unmap();
    this.pace.finished();
    this.#mappedBefore.add(buffer);
    return bytes;
  }

  /** A lost device first fails what it was asked for, and says why a little later. */
  async #waitForLoss(): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, LOSS_TIMEOUT_MS);
    await Promise.race([this.device.lost, late]);
    clearTimeout(timer);
  }

  /** Waits until the queue is empty. Costs 11 ms and the thread in Deno: not for the inside of a step. */
  async idle(): Promise<void> {
    await this.turns?.finish();
    await this.device.queue.onSubmittedWorkDone();
    await this.settled();
  }

  close(): void {
    this.#closed = true;
    this.device.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

const WANTED_FEATURES = ["shader-f16", "timestamp-query", "subgroups"] as GPUFeatureName[];
const WANTED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxStorageBuffersPerShaderStage",
  "maxTextureDimension2D",
] as const;

/** The adapters an engine offers, hardware before software, without doubles. */
export async function listAdapters(gpu: GPU): Promise<GPUAdapter[]> {
  const wishes: GPURequestAdapterOptions[] = [
    { powerPreference: "high-performance" },
    { powerPreference: "low-power" },
    { forceFallbackAdapter: true },
  ];
  const adapters = new Map<string, GPUAdapter>();
  for (const wish of wishes) {
    const adapter = await gpu.requestAdapter(wish);
    if (adapter) adapters.set(adapterName(adapter), adapter);
  }
  return [...adapters.values()].sort((a, b) => Number(isSoftware(a)) - Number(isSoftware(b)));
}

/** What a person calls the adapter: its description, else vendor and architecture. */
export function adapterName(adapter: GPUAdapter): string {
  const { vendor, architecture, device, description } = adapter.info;
  return description || [vendor, architecture, device].filter(Boolean).join(" ") || "unnamed";
}

/** Whether a CPU stands behind the adapter. */
export function isSoftware(adapter: GPUAdapter): boolean {
  return /llvmpipe|lavapipe|swiftshader|software|basic render/i.test(
    `${adapterName(adapter)} ${adapter.info.architecture}`,
  );
}

function lanesOf({ info }: GPUAdapter): number {
  const { subgroupMinSize: least, subgroupMaxSize: most } = info;
  return least === most ? least ?? 0 : 0;
}

/**
 * Opens a device with everything the adapter has of what the kernels can use.
 *
 * @param gpu The engine's entry: `navigator.gpu`, or Dawn's.
 * @param choice Index into {@link listAdapters} or a part of an adapter's name; the first one if undefined.
 * @throws {UserError} If no adapter is there or none matches `choice`.
 */
export async function openGpu(
  gpu: GPU,
  { engine = "deno", choice, mapsWithinCall = false }: {
    engine?: string;
    choice?: string;
    mapsWithinCall?: boolean;
  } = {},
): Promise<Gpu> {
  const adapters = await listAdapters(gpu);
  const names = adapters.map((adapter, index) => `${index}: ${adapterName(adapter)}`);
  const adapter = choice === undefined
    ? adapters[0]
    : adapters.find((candidate, index) =>
      String(index) === choice ||
      adapterName(candidate).toLowerCase().includes(choice.toLowerCase())
    );
  if (!adapter) {
    throw new UserError(
      adapters.length === 0
        ? "Expected a WebGPU adapter, found none: install a Vulkan driver (Debian: apt install mesa-vulkan-drivers)"
        : `Expected --adapter to be an index or a part of a name, found "${choice}": there is ${
          names.join(", ")
        }`,
    );
  }
  const requiredLimits: Record<string, number> = {};
  for (const name of WANTED_LIMITS) requiredLimits[name] = adapter.limits[name];
  const device = await requestDevice(adapter, requiredLimits);
  const info = {
    engine,
    vendor: adapter.info.vendor,
    architecture: adapter.info.architecture,
    description: adapterName(adapter),
    software: isSoftware(adapter),
    lanes: lanesOf(adapter),
  };
  const opened = new Gpu(device, info, mapsWithinCall);
  // Deno's compiler has subgroup_id and does not list it; shaders/reduce_subgroup.wgsl needs it.
  const language = (gpu as { wgslLanguageFeatures?: ReadonlySet<string> }).wgslLanguageFeatures;
  opened.features.subgroups &&= engine === "deno" || !!language?.has("subgroup_id");
  return opened;
}

/** Asks for every wanted feature, even unlisted ones (Deno does not list `subgroups`), then without those refused. */
async function requestDevice(
  adapter: GPUAdapter,
  requiredLimits: Record<string, number>,
): Promise<GPUDevice> {
  try {
    return await adapter.requestDevice({
      requiredFeatures: WANTED_FEATURES,
      requiredLimits,
    });
  } catch {
    const requiredFeatures = WANTED_FEATURES.filter((name) => adapter.features.has(name));
    return await adapter.requestDevice({
      requiredFeatures,
      requiredLimits,
    });
  }
}
