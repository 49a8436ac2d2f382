// This module is browser compatible.

/** What a divergence makes of the gain of a score, and the derivative by the gain. */
export interface DivergedGain {
  value: number;
  slope: number;
}

/** A divergence of policy and reference that training limits: a row of the table below. */
export interface Divergence {
  /** @param alpha Of the alpha divergence. */
  of(gain: number, alpha: number): DivergedGain;
  /** The same in WGSL: the body of `fn diverged(gain: f32, alpha: f32) -> vec2<f32>`, value and slope. */
  wgsl: string;
}

/**
 * The exponential of more is that of this, and its slope 0: further nats change nothing, and no loss overflows, not even the
 * square that ipo is. TRL's largest one is 80.
 */
const LARGEST_EXPONENT = 40;

/**
 * Divergences beyond the reverse Kullback-Leibler divergence, of which the plain gain comes: Wang et al. 2023, arXiv:2309.16240,
 * table 1, as functions of the gain that are 0 where policy and reference agree, as TRL has them since 1.10.
 */
export const DIVERGENCES = {
  reverse_kl: { of: (gain) => ({ value: gain, slope: 1 }), wgsl: "return vec2<f32>(gain, 1.0);" },

  forward_kl: {
    of(gain) {
      const power = Math.exp(Math.min(-gain, LARGEST_EXPONENT));
      return { value: 1 - power, slope: -gain > LARGEST_EXPONENT ? 0 : power };
    },
    wgsl: /* wgsl */ `
  let power = exp(min(-gain, ${LARGEST_EXPONENT}.0));
  return vec2<f32>(1.0 - power, select(power, 0.0, -gain > ${LARGEST_EXPONENT}.0));`,
  },

  js_divergence: {
    of(gain) {
      const tail = Math.log1p(Math.exp(-Math.abs(gain)));
      return { value: Math.LN2 + Math.min(gain, 0) - tail, slope: 1 / (1 + Math.exp(gain)) };
    },
    wgsl: /* wgsl */ `
  return vec2<f32>(${Math.LN2} + log_sigmoid(gain), sigmoid(-gain));`,
  },

  alpha_divergence: {
    of(gain, alpha) {
      if (alpha === 1) return { value: gain, slope: 1 };
      const exponent = (alpha - 1) * gain;
      const power = Math.exp(Math.min(exponent, LARGEST_EXPONENT));
      return {
        value: (power - 1) / (alpha - 1),
        slope: exponent > LARGEST_EXPONENT ? 0 : power,
      };
    },
    wgsl: /* wgsl */ `
  if (alpha == 1.0) { return vec2<f32>(gain, 1.0); }
  let exponent = (alpha - 1.0) * gain;
  let power = exp(min(exponent, ${LARGEST_EXPONENT}.0));
  return vec2<f32>((power - 1.0) / (alpha - 1.0), select(power, 0.0, exponent > ${LARGEST_EXPONENT}.0));`,
  },
} as const satisfies Record<string, Divergence>;

export type DivergenceType = keyof typeof DIVERGENCES;
export const DIVERGENCE_TYPES = Object.keys(DIVERGENCES) as readonly DivergenceType[];
