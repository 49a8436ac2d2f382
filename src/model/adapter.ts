// This module is browser compatible.
/**
 * LoRA (Hu et al. 2021, arXiv:2106.09685): beside a frozen matrix W two narrow ones train, y = x W^T + s (x A^T) B^T. Which
 * matrices have some, and what they are called: here by the names of PEFT.
 *
 * @module
 */
import { UserError } from "../errors.ts";
import type { Span } from "../kernels/lora.ts";
import type { ModelConfig } from "./config.ts";
import { type ParameterSpec, parameterTable } from "./params.ts";

/** What adapters are like. */
export interface AdapterShape {
  /** Columns of B, and rows of A. */
  rank: number;
  alpha: number;
  /** Whether the product is scaled by alpha / sqrt(r) in place of alpha / r (Kalajdzievski 2023, arXiv:2312.03732). */
  rslora: boolean;
  /** The tensors of a checkpoint that have one, such as `model.layers.0.self_attn.q_proj.weight`. */
  matrices: ReadonlySet<string>;
}

/** Adapters with their first values. */
export interface Adapter extends AdapterShape {
  /** Whether they change nothing yet: every B is 0. */
  fresh: boolean;
  /** Reads a matrix by its name in PEFT, as a TensorReader does. */
  read(name: string): AsyncIterable<Float32Array>;
}

/** What the product of the two matrices is multiplied by. */
export function adapterScale({ rank, alpha, rslora }: AdapterShape): number {
  return alpha / (rslora ? Math.sqrt(rank) : rank);
}

/** What PEFT calls one of the two matrices of an adapter. */
export function adapterTensor(matrix: string, which: "A" | "B"): string {
  return `base_model.model.${matrix.replace(/\.weight$/, `.lora_${which}.weight`)}`;
}

/** The parameters of adapters, those of a stacked matrix stacked too: A by rows for each, B as the rows that have one. */
export function adapterTable(
  config: ModelConfig,
  { rank, matrices }: AdapterShape,
): ParameterSpec[] {
  return parameterTable(config).flatMap((spec) => {
    const parts = spec.checkpoint.filter(({ name }) => matrices.has(name));
    if (spec.kind !== "matrix" || parts.length === 0) return [];
    const [, columns] = spec.shape;
    let firstRow = 0;
    const b = parts.map(({ name, shape: [rows] }) => {
      const part = { name: adapterTensor(name, "B"), shape: [rows, rank], firstRow };
      firstRow += rows;
      return part;
    });
    const a = parts.map(({ name }, i) => ({
      name: adapterTensor(name, "A"),
      shape: [rank, columns],
      firstRow: i * rank,
    }));
    const { layer } = spec;
    return [
      {
        name: adapterName(spec.name, "A"),
        shape: [parts.length * rank, columns],
        kind: "adapter" as const,
        layer,
        checkpoint: a,
      },
      {
        name: adapterName(spec.name, "B"),
        shape: [firstRow, rank],
        kind: "adapter" as const,
        layer,
        checkpoint: b,
      },
    ];
  });
}

/** The parameter that is one of the two matrices of a (stacked) matrix's adapters. */
export function adapterName(matrix: string, which: "A" | "B"): string {
  return `${matrix}.lora_${which}`;
}

/** Which rows of a stacked matrix have an adapter. */
export function adaptedSpans(matrix: ParameterSpec, b: ParameterSpec): Span[] {
  const adapted = new Set(b.checkpoint.map(({ name }) => name));
  return matrix.checkpoint
    .filter(({ name }) => adapted.has(adapterTensor(name, "B")))
    .map(({ firstRow, shape: [rows] }) => ({ first: firstRow, rows }));
}

/** The first layer with an adapter. */
export function firstAdaptedLayer(config: ModelConfig, shape: AdapterShape): number {
  return Math.min(...adapterTable(config, shape).map(({ layer }) => layer!));
}

/**
 * The matrices that options name.
 *
 * @param targets Such as `q_proj`, or `all-linear`.
 * @param layers Decoder layers; null: all.
 * @throws {UserError} If the model lacks one of the layers, or a rank is above what a matrix can have.
 */
export function targetMatrices(
  config: ModelConfig,
  { rank, targets, layers }: {
    rank: number;
    targets: readonly string[];
    layers: readonly number[] | null;
  },
): ReadonlySet<string> {
  const beyond = layers?.find((layer) => layer >= config.numLayers);
  if (beyond !== undefined) {
    throw new UserError(
      `Expected --layers-to-transform from 0 to ${
        config.numLayers - 1
      }, the model's layers, found ${beyond}`,
    );
  }
  const all = targets.includes("all-linear");
  const found = new Set<string>();
  for (const { kind, layer, checkpoint } of parameterTable(config)) {
    if (kind !== "matrix" || layers && !layers.includes(layer!)) continue;
    for (const { name, shape } of checkpoint) {
      const module = name.split(".").at(-2)!;
      if (!all && !targets.includes(module)) continue;
      const most = Math.min(...shape);
      if (rank > most) {
        throw new UserError(
          `Expected --lora-r of at most ${most}, the smaller side of ${module}, found ${rank}`,
        );
      }
      found.add(name);
    }
  }
  return found;
}
