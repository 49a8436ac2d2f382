// This module is browser compatible.
import type { ModelConfig, RopeScaling } from "./config.ts";

type RopeConfig = Pick<ModelConfig, "headSize" | "ropeTheta" | "ropeScaling">;

/**
 * Radians per position of every pair of elements of a head (HS / 2), in double precision: `theta^(-2i / HS)`, stretched
 * as the model's `rope_scaling` says (Hugging Face `modeling_rope_utils`: default, linear, llama3).
 */
export function ropeFrequencies({ headSize, ropeTheta, ropeScaling }: RopeConfig): Float64Array {
  return Float64Array.from(
    { length: headSize / 2 },
    (_, i) => scale(ropeTheta ** (-2 * i / headSize), ropeScaling),
  );
}

function scale(frequency: number, scaling: RopeScaling | null): number {
  if (scaling === null) return frequency;
  if (scaling.type === "linear") return frequency / scaling.factor;
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings } = scaling;
  const turnsInContext = originalMaxPositionEmbeddings * frequency / (2 * Math.PI);
  const kept = (turnsInContext - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
  const share = Math.min(1, Math.max(0, kept));
  return frequency * (share + (1 - share) / factor);
}

/**
 * The table that the kernel `rope` reads, f32 (positionCount, HS): a row holds the cosines of a position's HS/2 angles,
 * then their sines. Made here because a GPU's own cosine is not good enough at angles in the thousands.
 */
export function ropeTable(config: RopeConfig, positionCount: number): Float32Array {
  const frequencies = ropeFrequencies(config);
  const table = new Float32Array(positionCount * config.headSize);
  for (let position = 0; position < positionCount; position++) {
    const row = table.subarray(position * config.headSize);
    for (const [i, frequency] of frequencies.entries()) {
      row[i] = Math.cos(position * frequency);
      row[frequencies.length + i] = Math.sin(position * frequency);
    }
  }
  return table;
}
