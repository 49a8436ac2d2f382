// This module is browser compatible.
import { mix, mulberry32 } from "../random.ts";
import { type Adapter, type AdapterShape, adapterTable } from "./adapter.ts";
import type { ModelConfig } from "./config.ts";

/**
 * Adapters that change nothing yet, as PEFT begins them: A uniform in +-1 / sqrt(K), which is Kaiming's with a = sqrt(5) (He et
 * al. 2015), and B zero.
 *
 * @param seed Of the numbers of all matrices; those of one do not depend on which others there are.
 */
export function freshAdapter(config: ModelConfig, shape: AdapterShape, seed: number): Adapter {
  const tensors = new Map(
    adapterTable(config, shape).flatMap(({ checkpoint }) =>
      checkpoint.map(({ name, shape }) => [name, shape] as const)
    ),
  );
  return {
    ...shape,
    fresh: true,
    async *read(name) {
      const [rows, columns] = tensors.get(name)!;
      const data = new Float32Array(rows * columns);
      if (name.endsWith(".lora_A.weight")) {
        const bits = mulberry32(hash(name, seed));
        const bound = 1 / Math.sqrt(columns);
        for (let i = 0; i < data.length; i++) data[i] = bound * (bits() / 2 ** 31 - 1);
      }
      yield data;
    },
  };
}

function hash(name: string, seed: number): number {
  let bits = mix(seed + 1);
  for (let i = 0; i < name.length; i++) bits = mix(bits ^ (name.charCodeAt(i) + 1));
  return bits;
}
