/** Adapters with random weights for small models. */
import type { Checkpoint } from "../../src/model/load.ts";
import { trainableOf } from "../../src/train/trainable.ts";
import { type Adapter, adapterScale, adapterTensor } from "../../src/model/adapter.ts";
import { values } from "../kernels/harness.ts";
import { options, tensorOf } from "./small_models.ts";

/**
 * A checkpoint with adapters that change it much: as fresh ones, but for a B that is not 0.
 *
 * @param flags The LoRA options of `train`.
 */
export function adaptedCheckpoint(
  { config, read }: Checkpoint,
  flags: object,
): Checkpoint & { adapted: NonNullable<Checkpoint["adapted"]> } {
  const fresh = trainableOf(options("train", { ...flags }), config).adapter!;
  const adapter: Adapter = {
    ...fresh,
    fresh: false,
    async *read(name) {
      for await (const data of fresh.read(name)) {
        yield name.includes("lora_B") ? values(data.length, data.length, "f32", 0.1) : data;
      }
    },
  };
  const merged: Checkpoint["read"] = async function* (name) {
    const w = Float32Array.from(await tensorOf({ read }, name));
    if (adapter.matrices.has(name)) {
      const [a, b] = [
        await tensorOf(adapter, adapterTensor(name, "A")),
        await tensorOf(adapter, adapterTensor(name, "B")),
      ];
      addProduct(w, b, a, adapterScale(adapter), adapter.rank);
    }
    yield w;
  };
  return { config, read: merged, adapted: { adapter, read } };
}

/** w += s B A. */
export function addProduct(
  w: Float32Array | Float64Array,
  b: ArrayLike<number>,
  a: ArrayLike<number>,
  s: number,
  rank: number,
): void {
  const columns = a.length / rank;
  for (let i = 0; i < w.length; i++) {
    const [row, column] = [Math.floor(i / columns), i % columns];
    let sum = 0;
    for (let j = 0; j < rank; j++) sum += b[row * rank + j] * a[j * columns + column];
    w[i] += s * sum;
  }
}
