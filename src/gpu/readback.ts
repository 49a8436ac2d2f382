// This module is browser compatible.
import type { Commands } from "./commands.ts";
import type { Gpu, ReadOptions } from "./device.ts";
import { byteLength, type Tensor } from "./tensor.ts";

/** A staging buffer, and what was recorded into it. */
interface Page {
  buffer: GPUBuffer;
  used: number;
  slots: { offset: number; bytes: number; take: (data: ArrayBuffer) => void }[];
}

/**
 * Results that a step leaves for the CPU, collected in one buffer and fetched together later: a step never waits, and the
 * 11 ms that a map costs in Deno are shared by all steps since the last fetch. Where a step leaves more than the buffer holds,
 * a further one is made; from the next fetch on there is one that holds as much.
 */
export class Readback {
  #pages: Page[];

  constructor(readonly gpu: Gpu, capacityBytes = 4 * 2 ** 20) {
    this.#pages = [this.#page(capacityBytes)];
  }

  /** Whether `bytes` more can be recorded before the next {@link fetch} without a further buffer. */
  fits(bytes: number): boolean {
    const { buffer, used } = this.#pages.at(-1)!;
    return used + bytes <= buffer.size;
  }

  /** Copies a tensor at this point of the commands; `take` gets its bytes at the next {@link fetch}. */
  record(commands: Commands, tensor: Tensor, take: (data: ArrayBuffer) => void): void {
    const bytes = byteLength(tensor);
    if (!this.fits(bytes)) this.#extend(bytes);
    const page = this.#pages.at(-1)!;
    commands.copyToBuffer(page.buffer, page.used, tensor);
    page.slots.push({ offset: page.used, bytes, take });
    page.used += Math.ceil(bytes / 4) * 4; // as much as is copied
  }

  /**
   * Waits for everything submitted, as {@link Gpu.readBuffer}, and hands out what was recorded, in order. What cannot be
   * read is lost: it is not handed out by a later call.
   */
  async fetch(options?: ReadOptions): Promise<void> {
    const pages = this.#pages;
    if (pages[0].used === 0) return;
    const read: [Page["slots"], ArrayBuffer][] = [];
    try {
      for (const page of pages) {
        const isLast = page === pages.at(-1);
        const data = await this.gpu.readBuffer(
          page.buffer,
          page.used,
          isLast ? options : { turn: false },
        );
        read.push([page.slots, data]);
      }
    } finally {
      this.discard();
    }
    for (const [slots, data] of read) {
      for (const { offset, bytes, take } of slots) take(data.slice(offset, offset + bytes));
    }
  }

  /** Forgets what was recorded and not fetched. */
  discard(): void {
    const [first, ...further] = this.#pages;
    if (further.length === 0) this.#pages = [{ buffer: first.buffer, used: 0, slots: [] }];
    else {
      const capacity = this.#pages.reduce((sum, { buffer }) => sum + buffer.size, 0);
      this.destroy();
      this.#pages = [this.#page(Math.min(capacity, this.gpu.device.limits.maxBufferSize))];
    }
  }

  /** Frees its buffers behind what was submitted; it is of no more use. */
  destroy(): void {
    this.#free(this.#pages);
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  #extend(bytes: number): void {
    const last = this.#pages.at(-1)!;
    if (last.used === 0) this.#free([this.#pages.pop()!]);
    this.#pages.push(this.#page(Math.max(bytes, last.buffer.size)));
  }

  #free(pages: readonly Page[]): void {
    this.gpu.act(() => pages.forEach(({ buffer }) => buffer.destroy()));
  }

  #page(capacityBytes: number): Page {
    const buffer = this.gpu.device.createBuffer({
      label: "readback ring",
      size: Math.ceil(capacityBytes / 4) * 4,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    return { buffer, used: 0, slots: [] };
  }
}
