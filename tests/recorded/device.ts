/** A device that computes nothing and notes what it is given, whatever adapter the machine has. */
import { type DeviceInfo, Gpu } from "../../src/gpu/device.ts";

/** What a device was given, as lines. */
export interface Notes {
  /** Each variant of a kernel that was compiled, with a hash of its WGSL: `name type=f32 CONSTANT=1 hash`. */
  shaders: string[];
  /** The same variants with their WGSL. */
  texts: [variant: string, code: string][];
  /** Submitted commands in order: `name type=f32 CONSTANT=1 (workgroups) inputs -> outputs`, copies and clears. */
  commands: string[];
  /** Tensors that lie in a buffer with others, by {@link placeOf}. */
  parts: Map<string, { name: string; size: number }>;
}

/** A byte of a buffer. */
export const placeOf = ({ label }: { label: string }, offset = 0) => `${label}+${offset}`;

/** The kind of device that the notes are of. */
export interface DeviceKind {
  engine?: string;
  features: string[];
  info: Pick<DeviceInfo, "software" | "lanes">;
}

interface Labelled {
  label: string;
}

const LIMITS = {
  maxBufferSize: 2 ** 31,
  maxStorageBufferBindingSize: 2 ** 31 - 4,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupStorageSize: 32768,
  maxStorageBuffersPerShaderStage: 8,
  minStorageBufferOffsetAlignment: 256,
  maxTextureDimension2D: 16384,
};

/** Opens such a device. */
export function recordingGpu(
  { engine = "deno", features, info }: DeviceKind,
): { gpu: Gpu; notes: Notes } {
  const notes: Notes = { shaders: [], texts: [], commands: [], parts: new Map() };
  const device = {
    features: new Set(features),
    limits: LIMITS,
    lost: new Promise(() => {}),
    addEventListener: () => {},
    pushErrorScope: () => {},
    popErrorScope: () => Promise.resolve(null),
    createBuffer: ({ label = "readback", size }: GPUBufferDescriptor) => ({
      label,
      size,
      mapAsync: () => Promise.resolve(),
      getMappedRange: (_: number, bytes: number) => new ArrayBuffer(bytes),
      unmap: () => {},
      destroy: () => {},
    }),
    createTexture: ({ label }: Labelled) => ({ label, createView: () => ({ label }) }),
    createBindGroupLayout: ({ entries }: { entries: GPUBindGroupLayoutEntry[] }) => entries,
    createPipelineLayout: ({ bindGroupLayouts: [entries] }: { bindGroupLayouts: unknown[] }) =>
      entries,
    createShaderModule: (module: { label: string; code: string }) => module,
    createComputePipeline: (pipeline: PipelineDescriptor) => {
      const name = variantName(pipeline);
      const { constants, module: { code } } = pipeline.compute;
      notes.texts.push([name, code]);
      notes.shaders.push(`${name} ${hash(`${JSON.stringify(constants ?? {})} ${code}`)}`);
      const outputs = pipeline.layout.filter(({ buffer }) => buffer?.type === "storage").length;
      return { name, outputs };
    },
    createBindGroup: ({ entries }: { entries: { resource: Resource }[] }) =>
      entries.slice(1).map(({ resource }) =>
        "buffer" in resource ? boundName(notes, resource) : resource.label
      ),
    createCommandEncoder: () => commandEncoder(notes),
    queue: {
      writeBuffer: () => {},
      submit: (buffers: string[][]) => notes.commands.push(...buffers.flat()),
    },
  };
  const named = { engine, vendor: "", architecture: "", description: "recording", ...info };
  return { gpu: new Gpu(device as unknown as GPUDevice, named), notes };
}

interface Binding {
  buffer: Labelled;
  offset?: number;
  size: number;
}

type Resource = Binding | Labelled;

/** What is bound: a buffer, a tensor in it, or what lies from a byte on. */
function boundName({ parts }: Notes, { buffer, offset, size }: Binding): string {
  const part = parts.get(placeOf(buffer, offset));
  if (part?.size === size) return part!.name;
  return offset ? placeOf(buffer, offset) : buffer.label;
}

interface PipelineDescriptor {
  layout: GPUBindGroupLayoutEntry[];
  compute: { module: { label: string; code: string }; constants?: Record<string, number> };
}

/** The kernel, and what its wrapper declares in front of its source, which begins with a comment. */
function variantName({ compute: { module: { label, code }, constants } }: PipelineDescriptor) {
  const declared = code.slice(0, code.indexOf("//"));
  return [
    label.replace(/^shaders\/(.*)\.wgsl$/, "$1"),
    ...declared.matchAll(/\b(?:alias|const) (\w+) = ([\w<>]+?)u?;/g)
      .map(([, name, value]) => `${name}=${value}`),
    ...Object.entries(constants ?? {}).map(([name, value]) => `${name}=${value}`),
  ].join(" ");
}

function commandEncoder({ parts }: Notes) {
  const commands: string[] = [];
  return {
    beginComputePass: () => {
      let pipeline: { name: string; outputs: number };
      let bound: string[];
      return {
        setPipeline: (set: typeof pipeline) => pipeline = set,
        setBindGroup: (_: number, labels: string[]) => bound = labels,
        dispatchWorkgroups: (...workgroups: number[]) => {
          const outputs = bound.length - pipeline.outputs;
          const [read, written] = [bound.slice(0, outputs), bound.slice(outputs)];
          const grid = workgroups.join(", ").replace(/(, 1)+$/, "");
          commands.push(`${pipeline.name} (${grid}) ${read.join(", ")} -> ${written.join(", ")}`);
        },
        end: () => {},
      };
    },
    copyBufferToBuffer: (source: Labelled, _: number, target: Labelled) =>
      commands.push(`copy ${source.label} -> ${target.label}`),
    copyBufferToTexture: ({ buffer, offset }: Omit<Binding, "size">) => {
      const { name } = parts.get(placeOf(buffer, offset)) ?? { name: buffer.label };
      commands.push(`copy ${name} -> its texture`);
    },
    clearBuffer: ({ label }: Labelled) => commands.push(`clear ${label}`),
    finish: () => commands,
  };
}

/** FNV-1a, 64 bits: a change of a text changes it. */
function hash(text: string): string {
  let value = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) {
    value = (value ^ BigInt(byte)) * 0x100000001b3n & 0xffffffffffffffffn;
  }
  return value.toString(16).padStart(16, "0");
}
