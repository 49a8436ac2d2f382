import type { Sampling } from "../../src/kernels/sample.ts";

/** What a row has counts before: its prompt, the tokens drawn since, and what is added to scores. */
export interface TokenCounts {
  prompt?: readonly number[];
  drawn?: readonly number[];
  bias?: ReadonlyMap<number, number>;
}

/** The distribution that the next token is drawn from, in double precision. */
export function filteredDistribution(
  logits: ArrayLike<number>,
  { prompt = [], drawn = [], bias = new Map() }: TokenCounts,
  settings: Sampling,
): Float64Array {
  const { temperature, topK, topP, minP, repetitionPenalty } = settings;
  const seen = new Set([...prompt, ...drawn]);
  const scores = Array.from(logits, (logit, token) => {
    let score = logit + (bias.get(token) ?? 0);
    if (seen.has(token)) score *= score < 0 ? repetitionPenalty : 1 / repetitionPenalty;
    const times = drawn.filter((id) => id === token).length;
    return score - settings.frequencyPenalty * times -
      settings.presencePenalty * Math.min(times, 1);
  });
  const p = new Float64Array(scores.length);
  const largest = Math.max(...scores);
  if (temperature === 0) {
    p[scores.indexOf(largest)] = 1;
    return p;
  }
  const weights = scores.map((score) => Math.exp((score - largest) / temperature));
  const likely = [...scores.keys()].filter((token) => weights[token] >= minP);
  const kth = topK > 0 && topK < likely.length
    ? likely.map((token) => scores[token]).sort((a, b) => b - a)[topK - 1]
    : -Infinity;
  const descending = likely
    .filter((token) => scores[token] >= kth)
    .sort((a, b) => scores[b] - scores[a]);
  const sum = descending.reduce((total, token) => total + weights[token], 0);
  let above = 0;
  let aboveOrEqual = 0;
  let kept = 0;
  for (const [i, token] of descending.entries()) {
    if (i > 0 && scores[token] < scores[descending[i - 1]]) above = aboveOrEqual;
    if (i > 0 && topP < 1 && above >= topP * sum) break;
    p[token] = weights[token];
    kept += weights[token];
    aboveOrEqual += weights[token];
  }
  return p.map((weight) => weight / kept);
}

/** Jarzynski & Olano's pcg4d: the first of its four words. */
function hash(key: [number, number, number, number]): number {
  const v = Uint32Array.from(key, (word) => Math.imul(word, 1664525) + 1013904223);
  const mix = () => {
    v[0] += Math.imul(v[1], v[3]);
    v[1] += Math.imul(v[2], v[0]);
    v[2] += Math.imul(v[0], v[1]);
    v[3] += Math.imul(v[1], v[2]);
  };
  mix();
  for (let i = 0; i < 4; i++) v[i] ^= v[i] >>> 16;
  mix();
  return v[0];
}

/** What every token reaches in the race that decides the draw; -Infinity for those that are filtered out. */
export function race(
  p: ArrayLike<number>,
  { seed, sequence }: Sampling,
  position: number,
): number[] {
  return Array.from(p, (probability, token) => {
    const uniform = (hash([token, position, sequence, seed]) + 0.5) / 2 ** 32;
    return Math.log(probability) - Math.log(-Math.log1p(-uniform));
  });
}
