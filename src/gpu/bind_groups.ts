// This module is browser compatible.
import { type Tensor, whenFreed } from "./tensor.ts";

/** The bind groups of a pipeline, by the tensors that they bind. A freed tensor takes its groups along. */
export class BindGroups {
  readonly #groups = new Map<string, GPUBindGroup>();

  get size(): number {
    return this.#groups.size;
  }

  /** @param make Makes the group of these tensors, in this order. */
  get(tensors: readonly Tensor[], make: () => GPUBindGroup): GPUBindGroup {
    let key = "";
    for (const { storage } of tensors) key += `${storage.id},`;
    let group = this.#groups.get(key);
    if (!group) {
      this.#groups.set(key, group = make());
      whenFreed(tensors, () => this.#groups.delete(key));
    }
    return group;
  }
}
