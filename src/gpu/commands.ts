// This module is browser compatible.
import type { Gpu } from "./device.ts";
import { type DispatchObserver, Encoding } from "./encoding.ts";
import { getPipeline, type Kernel, type Pipeline, type Variant } from "./kernel.ts";
import { byteLength, label, type Tensor } from "./tensor.ts";
import { type TexelType, textureOf } from "./texture.ts";
import type { Command } from "./turns.ts";

/** One dispatch of a kernel. */
export interface Dispatch {
  variant?: Variant;
  params: Record<string, number>;
  /** The kernel's `reads`, then its `writes`, in order. */
  tensors: Tensor[];
  workgroups: [number, number?, number?];
}

/** Commands that can be replayed; see {@link Commands.record}. */
export interface Recording {
  commands: readonly Command[];
  /** Until their sizes are overwritten. */
  round: number;
}

const MAX_DISPATCHES = 8192;
const PARAM_SLOT_BYTES = 256;
/** Where the sizes of each dispatch are: in Deno, offsets of a typed array cost a sixth of an array's. */
const OFFSETS = Uint32Array.from({ length: MAX_DISPATCHES }, (_, slot) => slot * PARAM_SLOT_BYTES);
const uniforms = new WeakMap<Gpu, GPUBuffer>();

/**
 * Records dispatches and copies, and submits them: to a CPU adapter as one command buffer; to a GPU as they are recorded, in
 * parts that grow until they last as long as a submit may (pace.ts), so that it begins early and works while more is recorded;
 * where the device shares its thread, in parts that are encoded when it is their turn (turns.ts, where there is no observer).
 * What is written to a tensor meanwhile may come before or behind what was recorded. The sizes of all dispatches travel in one
 * uniform buffer, written once per part and bound with dynamic offsets, so bind groups depend on the tensors alone and are made
 * once, and dropped with the first of their tensors that is freed.
 */
export class Commands {
  #encoding: Encoding | undefined;
  #waiting: Command[] = [];
  #recorded: Command[] | undefined;
  #uniform: GPUBuffer;
  #params = new ArrayBuffer(64 * PARAM_SLOT_BYTES);
  #words = new DataView(this.#params);
  #count = 0;
  /** Dispatches whose sizes the GPU has. */
  #written = 0;
  #part: number;
  #round = 0;

  constructor(readonly gpu: Gpu, readonly observer?: DispatchObserver) {
    let uniform = uniforms.get(gpu);
    if (!uniform) {
      uniform = gpu.device.createBuffer({
        label: "params",
        size: MAX_DISPATCHES * PARAM_SLOT_BYTES,
        usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
      });
      uniforms.set(gpu, uniform);
    }
    this.#uniform = uniform;
    this.#part = gpu.pace.first;
  }

  /**
   * Records one dispatch. A dispatch without workgroups is left out: an empty batch is no error.
   *
   * @throws {RangeError} If parameters or tensors do not fit the kernel, or a dimension has over 65,535 workgroups.
   */
  dispatch(kernel: Kernel, { variant = {}, params, tensors, workgroups }: Dispatch): void {
    const [x, y = 1, z = 1] = workgroups;
    if (x * y * z === 0) return;
    if (Math.max(x, y, z) > 65535) {
      throw new RangeError(
        `${kernel.name}: expected at most 65535 workgroups, found (${workgroups})`,
      );
    }
    if (tensors.length !== kernel.reads.length + kernel.writes.length) {
      throw new RangeError(`${kernel.name}: expected ${[...kernel.reads, ...kernel.writes]}`);
    }
    if (this.#count === MAX_DISPATCHES) this.submit();
    const slot = this.#writeParams(kernel, params);
    const asTextures = kernel.textures?.map((name) => tensors[kernel.reads.indexOf(name)]);
    let entry: Pipeline | undefined; // found once, however often the command is done
    let group: GPUBindGroup;
    this.#add((encoding) => {
      asTextures?.forEach((tensor) => textureOf(this.gpu, tensor, encoding));
      if (!entry) {
        const texels = asTextures?.map(({ dtype }) => dtype as TexelType);
        const { layout, bindGroups } = entry = getPipeline(this.gpu, kernel, variant, texels);
        group = bindGroups.get(tensors, () => this.#bind(kernel, layout, tensors));
        if (!entry.hasRun) encoding.compiles = entry.hasRun = true;
      }
      const pass = encoding.pass(kernel.name);
      pass.setPipeline(entry.pipeline);
      pass.setBindGroup(0, group, OFFSETS, slot, 1);
      pass.dispatchWorkgroups(x, y, z);
      for (let i = kernel.reads.length; i < tensors.length; i++) {
        encoding.writes(tensors[i].storage.content);
      }
    });
  }

  /** Keeps what `record` records, for {@link replay} before the next {@link submit}. */
  record(record: () => void): Recording {
    const commands: Command[] = this.#recorded = [];
    try {
      record();
    } finally {
      this.#recorded = undefined;
    }
    return { commands, round: this.#round };
  }

  /**
   * Does the same again, for a fraction of what recording costs: nothing is checked, looked up or written.
   *
   * @throws {RangeError} If there was a {@link submit} since.
   */
  replay({ commands, round }: Recording): void {
    if (round !== this.#round) {
      throw new RangeError("Expected commands of before the next submit()");
    }
    for (const command of commands) this.#add(command);
  }

  /** Copies `source` over the start of `target`, or between byte offsets. */
  copy(
    target: Tensor,
    source: Tensor,
    { targetByte = 0, sourceByte = 0, bytes = byteLength(source) } = {},
  ): void {
    this.#add((encoding) => {
      encoding.copier.copyBufferToBuffer(
        source.storage.buffer,
        source.storage.offsetBytes + sourceByte,
        target.storage.buffer,
        target.storage.offsetBytes + targetByte,
        Math.ceil(bytes / 4) * 4,
      );
      encoding.writes(target.storage.content);
    });
  }

  /** Copies a tensor into a buffer that is no tensor: a staging buffer. */
  copyToBuffer(target: GPUBuffer, targetByte: number, source: Tensor): void {
    const { buffer, offsetBytes } = source.storage;
    const bytes = Math.ceil(byteLength(source) / 4) * 4;
    this.#add(({ copier }) =>
      copier.copyBufferToBuffer(buffer, offsetBytes, target, targetByte, bytes)
    );
  }

  /** Fills the tensor with zeros. */
  clear(tensor: Tensor): void {
    const { buffer, offsetBytes, sizeBytes } = tensor.storage;
    this.#add((encoding) => {
      encoding.copier.clearBuffer(buffer, offsetBytes, sizeBytes);
      encoding.writes(tensor.storage.content);
    });
  }

  /** Submits all that was recorded and the GPU does not have yet; the object can go on recording. */
  submit(): void {
    this.#handOver();
    this.#count = this.#written = 0;
    this.#part = this.gpu.pace.first;
    this.#round++;
  }

  #handOver(): void {
    const { gpu } = this;
    gpu.check();
    const [from, to] = [this.#written, this.#count].map((count) => count * PARAM_SLOT_BYTES);
    if (to > from) gpu.write(this.#uniform, from, new Uint8Array(this.#params, from, to - from));
    if (this.#encoding) {
      gpu.device.queue.submit([this.#encoding.finish()]);
      gpu.pace.submitted(this.#encoding.dispatches);
    }
    gpu.turns?.add(this.#waiting);
    this.#encoding = undefined;
    this.#waiting = [];
    this.#written = this.#count;
  }

  #add(command: Command): void {
    const { gpu } = this;
    this.#recorded?.push(command);
    if (gpu.turns) {
      this.#waiting.push(command);
      return;
    }
    this.#encoding ??= new Encoding(gpu.device, this.observer);
    command(this.#encoding);
    if (this.#encoding.dispatches < this.#part) return;
    this.#handOver();
    this.#part = Math.min(2 * this.#part, gpu.pace.most);
  }

  /** @returns The slot that they are in. */
  #writeParams(kernel: Kernel, params: Record<string, number>): number {
    const slot = this.#count++;
    const offset = slot * PARAM_SLOT_BYTES;
    if (offset === this.#params.byteLength) {
      const larger = new ArrayBuffer(2 * offset);
      new Uint8Array(larger).set(new Uint8Array(this.#params));
      this.#params = larger;
      this.#words = new DataView(larger);
    }
    let at = offset;
    for (const name in kernel.params) {
      const value = params[name];
      if (value === undefined) {
        throw new RangeError(`${kernel.name}: expected the parameter "${name}", found none`);
      }
      if (kernel.params[name] === "u32") this.#words.setUint32(at, value, true);
      else this.#words.setFloat32(at, value, true);
      at += 4;
    }
    return slot;
  }

  #bind(kernel: Kernel, layout: GPUBindGroupLayout, tensors: Tensor[]): GPUBindGroup {
    const written = tensors.slice(kernel.reads.length);
    for (const [index, tensor] of tensors.entries()) {
      const clash = written.find((other) =>
        other.storage.buffer === tensor.storage.buffer && other !== tensor &&
        (index < kernel.reads.length || other.storage.id !== tensor.storage.id)
      );
      if (clash) {
        throw new RangeError(`${kernel.name}: ${label(tensor)} is read or written twice`);
      }
    }
    const uniform = { buffer: this.#uniform, size: PARAM_SLOT_BYTES };
    return this.gpu.device.createBindGroup({
      label: kernel.name,
      layout,
      entries: [
        { binding: 0, resource: uniform },
        ...tensors.map(({ storage: { buffer, offsetBytes, sizeBytes, texture } }, index) => ({
          binding: index + 1,
          resource: kernel.textures?.includes(kernel.reads[index])
            ? texture!.view
            : { buffer, offset: offsetBytes, size: sizeBytes },
        })),
      ],
    });
  }
}
