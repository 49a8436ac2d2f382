// This module is browser compatible.
import type { PackedBatch } from "../model/batch.ts";
import type { ModelConfig } from "../model/config.ts";
import { layerElements } from "./models.ts";

/** Where the reference's scores come from: a model of its own, its own top on the policy's trunk, or an earlier epoch. */
export type ReferenceWork = "separate" | "sharedTrunk" | "cached";

/**
 * Floating-point operations of a DPO step's forward and backward passes, counted from the batch itself: keys that are really
 * seen, rows that are really scored.
 *
 * @param begin First layer that trains.
 */
export function stepFlops(
  config: ModelConfig,
  packed: PackedBatch,
  begin: number,
  { cachedTrunk, reference }: { cachedTrunk: boolean; reference: ReferenceWork },
): number {
  const { numLayers, hiddenSize: C, vocabSize: V, numHeads, headSize } = config;
  const top = numLayers - begin;
  const linear = 2 * layerElements(config) * packed.tokens.length;
  const attention = 4 * numHeads * headSize * keysSeen(packed);
  const head = 2 * C * V * packed.groups.reduce((sum, { rowCount }) => sum + rowCount, 0);

  const forward = (layers: number) => layers * (linear + attention);
  const policy = forward(cachedTrunk ? top : numLayers) + head;
  const backward = top * (2 * linear + 2.5 * attention) + 2 * head;
  switch (reference) {
    case "separate":
      return policy + backward + forward(numLayers) + head;
    case "sharedTrunk":
      return policy + backward + forward(top) + head;
    case "cached":
      return policy + backward;
  }
}

/** Pairs of a query row and a key that it sees. */
function keysSeen({ queryTiles }: PackedBatch): number {
  let keys = 0;
  for (let i = 0; i < queryTiles.length; i += 8) {
    const [, rows, prefixBegin, prefixEnd, branchBegin, diagonal] = queryTiles.subarray(i, i + 6);
    keys += rows * (prefixEnd - prefixBegin + diagonal - branchBegin) + rows * (rows + 1) / 2;
  }
  return keys;
}
