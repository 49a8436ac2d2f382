// This module is browser compatible.
import reduceCode from "../../shaders/reduce.wgsl" with { type: "text" };
import reduceLanesCode from "../../shaders/reduce_lanes.wgsl" with { type: "text" };
import reduceSubgroupCode from "../../shaders/reduce_subgroup.wgsl" with { type: "text" };
import texelCode from "../../shaders/texel.wgsl" with { type: "text" };
import { UserError } from "../errors.ts";
import { BindGroups } from "./bind_groups.ts";
import type { Gpu } from "./device.ts";
import { type TexelType, TEXTURE_WIDTH, textureFormat } from "./texture.ts";

/** The fields of a struct, in order; all are 4 bytes wide. */
export type Fields = Readonly<Record<string, "u32" | "f32">>;

/**
 * A WGSL file and how it is bound: group 0 holds the `Params` uniform at binding 0, then the inputs, then the outputs.
 * The entry point is the kernel's name, which is the file's stem.
 */
export interface Kernel {
  name: string;
  code: string;
  params: Fields;
  reads: readonly string[];
  writes: readonly string[];
  /** Those of the inputs that the code reads as textures, f32 or f16, of types NAME_texels; see texture.ts. */
  textures?: readonly string[];
  /** Whether the code has subgroup operations of its own. */
  subgroups?: boolean;
  /** Structs that the code takes from tables: they are declared in front of it. */
  structs?: Readonly<Record<string, Fields>>;
  /** What the code calls reduce_sum and reduce_max with, if it does: shaders/reduce.wgsl comes with it. */
  reduces?: "f32" | "vec3<f32>" | "vec4<f32>";
}

/**
 * What makes one pipeline of a kernel. `overrides` are WGSL overrides. `types` and `constants` become `alias` and `const`
 * declarations in front of the source: a type cannot be an override, and Deno's naga takes none in the size of a
 * function-scope array. One file then serves f32 and f16 storage, under the same tests.
 */
export interface Variant {
  overrides?: Record<string, number>;
  types?: Record<string, "f32" | "f16">;
  constants?: Record<string, number>;
  /** A function that the code calls and leaves to its variants, by a name of its own. */
  part?: { name: string; code: string };
}

export interface Pipeline {
  pipeline: GPUComputePipeline;
  layout: GPUBindGroupLayout;
  bindGroups: BindGroups;
  /** Whether it was dispatched before: drivers compile as late as then. */
  hasRun: boolean;
}

const pipelines = new WeakMap<Gpu, Map<string, Pipeline>>();

/**
 * The pipeline of a kernel's variant, compiled on first use.
 *
 * @param texels Of the kernel's textures.
 * @throws {UserError} If the device lacks a feature the variant needs. Compilation errors reach {@link Gpu.settled}.
 */
export function getPipeline(
  gpu: Gpu,
  kernel: Kernel,
  variant: Variant,
  texels: readonly TexelType[] = [],
): Pipeline {
  let cache = pipelines.get(gpu);
  if (!cache) pipelines.set(gpu, cache = new Map());
  const key = variantKey(kernel, variant, texels);
  let entry = cache.get(key);
  if (!entry) cache.set(key, entry = compile(gpu, kernel, variant, texels));
  return entry;
}

/** Bind groups that are kept for a device. */
export function bindGroupCount(gpu: Gpu): number {
  const entries = [...pipelines.get(gpu)?.values() ?? []];
  return entries.reduce((sum, { bindGroups }) => sum + bindGroups.size, 0);
}

/** A string per variant; asked for at every dispatch, where JSON.stringify would be half the cost of a step in JavaScript. */
function variantKey(
  { name }: Kernel,
  { overrides, types, constants, part }: Variant,
  texels: readonly TexelType[],
): string {
  let key = name;
  for (const at in overrides) key += ` ${overrides[at]}`;
  for (const at in types) key += ` ${types[at]}`;
  for (const at in constants) key += ` ${constants[at]}`;
  if (part) key += ` ${part.name}`;
  for (const type of texels) key += ` ${type}`;
  return key;
}

function compile(
  gpu: Gpu,
  kernel: Kernel,
  variant: Variant,
  texels: readonly TexelType[],
): Pipeline {
  const { device } = gpu;
  const textures = new Map(kernel.textures?.map((name, i) => [name, textureFormat(texels[i])]));
  device.pushErrorScope("validation");
  const bindings: Omit<GPUBindGroupLayoutEntry, "binding" | "visibility">[] = [
    { buffer: { type: "uniform", hasDynamicOffset: true } },
    ...kernel.reads.map((name) => {
      const format = textures.get(name);
      return format
        ? { storageTexture: { access: "read-only" as const, format } }
        : { buffer: { type: "read-only-storage" as const } };
    }),
    ...kernel.writes.map(() => ({ buffer: { type: "storage" as const } })),
  ];
  const limit = device.limits.maxStorageBuffersPerShaderStage;
  const needed = bindings.filter(({ buffer }) => buffer).length - 1;
  if (needed > limit) {
    throw new UserError(
      `Kernel ${kernel.name} needs ${needed} storage buffers, the device offers ${limit}: pick another --adapter`,
    );
  }
  const layout = device.createBindGroupLayout({
    label: kernel.name,
    entries: bindings.map((resource, binding) => ({
      binding,
      visibility: GPUShaderStage.COMPUTE,
      ...resource,
    })),
  });
  const pipeline = device.createComputePipeline({
    label: kernel.name,
    layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
    compute: {
      module: device.createShaderModule({
        label: `shaders/${kernel.name}.wgsl`,
        code: prelude(gpu, kernel, variant, textures) + kernel.code + behind(gpu, kernel, variant),
      }),
      entryPoint: kernel.name,
      constants: variant.overrides,
    },
  });
  gpu.watch(
    device.popErrorScope().then((error) => {
      if (error) {
        throw new Error(
          `Cannot compile shaders/${kernel.name}.wgsl (${
            JSON.stringify(variant)
          }): ${error.message}`,
        );
      }
    }),
  );
  return { pipeline, layout, bindGroups: new BindGroups(), hasRun: false };
}

/** Directives and declarations in front of the source, without a newline so that reported line numbers still match. */
function prelude(
  gpu: Gpu,
  kernel: Kernel,
  variant: Variant,
  textures: ReadonlyMap<string, GPUTextureFormat>,
): string {
  const types = Object.entries(variant.types ?? {});
  let text = "";
  if (types.some(([, type]) => type === "f16")) {
    if (!gpu.features.f16) {
      throw new UserError(
        `Expected a device with shader-f16 for --precision f16, found "${gpu.info.description}" without: use --precision f32`,
      );
    }
    text += "enable f16; ";
  }
  if (kernel.subgroups || kernel.reduces && gpu.features.subgroups) text += gpu.subgroupDirective;
  if (kernel.reduces) text += `alias reduced = ${kernel.reduces}; `;
  if (kernel.textures) text += `const TEXTURE_WIDTH = ${TEXTURE_WIDTH}u; `;
  for (const [name, format] of textures) {
    text += `alias ${name}_texels = texture_storage_2d<${format}, read>; `;
  }
  for (const [name, fields] of Object.entries(kernel.structs ?? {})) {
    const members = Object.entries(fields).map(([field, type]) => `${field}: ${type}`);
    text += `struct ${name} { ${members.join(", ")} } `;
  }
  for (const [name, type] of types) text += `alias ${name} = ${type}; `;
  for (const [name, value] of Object.entries(variant.constants ?? {})) {
    text += `const ${name} = ${value}u; `;
  }
  return text;
}

/** What stands behind the source, where it moves no line: the variant's part, the reduction that suits the device, texels. */
function behind(gpu: Gpu, { reduces, textures }: Kernel, variant: Variant): string {
  return (variant.part?.code ?? "") + (reduces ? reduction(gpu, variant) : "") +
    (textures ? texelCode : "");
}

function reduction({ features, info }: Gpu, { overrides }: Variant): string {
  if (!features.subgroups) return reduceCode;
  return overrides?.WORKGROUP === info.lanes ? reduceLanesCode : reduceSubgroupCode;
}
