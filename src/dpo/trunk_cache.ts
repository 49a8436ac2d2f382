// This module is browser compatible.
import type { PreferencePair } from "../data/pairs.ts";
import type { Commands } from "../gpu/commands.ts";
import { createTensor, destroyTensor, type Tensor } from "../gpu/tensor.ts";
import type { Model } from "../model/model.ts";
import { treeTokens } from "./pack.ts";

/**
 * What the frozen trunk gives for each pair, kept on the GPU from its first visit: from the second epoch on only the layers
 * that train are computed. Exact, since a pair's rows come out the same in any batch.
 */
export class TrunkCache {
  #tensor: Tensor | undefined;
  #firstRow = new Map<PreferencePair, number>();
  #rows = 0;

  /**
   * @param capacityRows Tokens to keep; 0 keeps none. With no frozen layer there is nothing to save.
   */
  constructor(readonly model: Model, capacityRows: number) {
    if (capacityRows === 0 || model.begin === 0) return;
    const C = model.weights.config.hiddenSize;
    this.#tensor = createTensor(model.gpu, "trunk cache", "f32", [capacityRows, C]);
  }

  /** Whether anything is kept at all. */
  get enabled(): boolean {
    return this.#tensor !== undefined;
  }

  /** The trunk of a batch, f32 (N, C), if all of its pairs are kept. */
  load(commands: Commands, pairs: readonly PreferencePair[]): Tensor | undefined {
    const tensor = this.#tensor;
    if (!tensor || !pairs.every((pair) => this.#firstRow.has(pair))) return;
    const C = tensor.shape[1];
    const N = pairs.reduce((sum, pair) => sum + treeTokens(pair), 0);
    const trunk = this.model.runtime.workspace.get("trunk", "f32", [N, C]);
    let row = 0;
    for (const pair of pairs) {
      const bytes = treeTokens(pair) * C * 4;
      const sourceByte = this.#firstRow.get(pair)! * C * 4;
      commands.copy(trunk, tensor, { targetByte: row * C * 4, sourceByte, bytes });
      row += treeTokens(pair);
    }
    return trunk;
  }

  /** Keeps the pairs of a batch that are new, as far as there is room. */
  store(commands: Commands, pairs: readonly PreferencePair[], trunk: Tensor): void {
    const tensor = this.#tensor;
    if (!tensor) return;
    const [capacity, C] = tensor.shape;
    let row = 0;
    for (const pair of pairs) {
      const count = treeTokens(pair);
      if (!this.#firstRow.has(pair) && this.#rows + count <= capacity) {
        commands.copy(tensor, trunk, {
          targetByte: this.#rows * C * 4,
          sourceByte: row * C * 4,
          bytes: count * C * 4,
        });
        this.#firstRow.set(pair, this.#rows);
        this.#rows += count;
      }
      row += count;
    }
  }

  release(): void {
    if (this.#tensor) destroyTensor(this.model.gpu, this.#tensor);
    this.#tensor = undefined;
    this.#firstRow.clear();
  }
}
