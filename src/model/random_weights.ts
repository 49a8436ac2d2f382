// This module is browser compatible.
import { mulberry32 } from "../random.ts";
import type { ModelConfig } from "./config.ts";
import { checkpointTensors } from "./params.ts";
import type { TensorReader } from "./load_weights.ts";

/** Standard deviation of fresh matrices where config.json names none. */
const INITIALIZER_RANGE = 0.02;

/**
 * A {@link TensorReader} that makes up weights as Hugging Face initializes a model: norms 1, biases 0, everything else normal
 * with `initializer_range`; output projections are scaled down by sqrt(2 L), as in GPT-2 (Radford et al. 2019, section 2.3).
 */
export function randomWeights(config: ModelConfig, seed: number): TensorReader {
  const range = Number(config.raw.initializer_range ?? INITIALIZER_RANGE);
  const shapes = new Map(checkpointTensors(config).map(({ name, shape }) => [name, shape]));
  const order = [...shapes.keys()];
  return async function* (name) {
    const shape = shapes.get(name)!;
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
    if (name.endsWith("norm.weight")) return yield data.fill(1);
    if (name.endsWith(".bias")) return yield data;
    const residual = name.endsWith("o_proj.weight") || name.endsWith("down_proj.weight");
    const scale = residual ? range / Math.sqrt(2 * config.numLayers) : range;
    const normal = normals(seed * 0x10001 + order.indexOf(name));
    for (let i = 0; i < data.length; i++) data[i] = scale * normal();
    yield data;
  };
}

/** Normal deviates by Box and Muller's method. */
function normals(seed: number): () => number {
  const bits = mulberry32(seed);
  const uniform = () => (bits() + 0.5) / 2 ** 32;
  let spare: number | undefined;
  return () => {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(uniform()));
    const angle = 2 * Math.PI * uniform();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
}
