// This module is browser compatible.
import { Commands } from "../gpu/commands.ts";
import { type Tensor, writeTensor } from "../gpu/tensor.ts";
import { ATTENTION_TILE_ROWS, attentionForward } from "../kernels/attention.ts";
import { kvCacheRead, kvCacheWrite } from "../kernels/attention_decode.ts";
import { ropeForward } from "../kernels/rope.ts";
import { tuned } from "../kernels/tuning.ts";
import {
  type Attention,
  embed,
  layersForward,
  mostTokensTogether,
  type Pass,
} from "../model/forward.ts";
import { headsOf, layerActivations } from "../model/layer.ts";
import type { Model } from "../model/model.ts";
import { forManyRows } from "../model/operators.ts";
import type { Sequence } from "./sequences.ts";

/** A prompt, the first of its rows in the cache, and how much of it is in the cache somewhere already. */
type Prompt = Pick<Sequence, "prompt" | "firstRow" | "prefix">;

/**
 * Lengths at which a cached prefix may end. Attention takes keys in blocks from the first on: with whole blocks cached, the
 * rest comes out with the bits that it has when everything is computed.
 */
export const PREFIX_BLOCK = ATTENTION_TILE_ROWS;

/**
 * Computes the prompts: fills the cache with their keys and values. Of a cached prefix the keys and values are
 * copied.
 *
 * @param cache See kvCache.
 * @param y Receives the end of the residual stream of every prompt's last token, f32 (B, C).
 */
export function prefill(
  model: Model,
  cache: Tensor[],
  y: Tensor,
  sequences: readonly Prompt[],
): void {
  // A longer prompt is computed alone.
  const chunkTokens = Math.min(
    tuned(model.gpu, "prefilledTokens"),
    mostTokensTogether(model.gpu, model.weights),
  );
  let first = 0;
  while (first < sequences.length) {
    let end = first;
    let tokens = 0;
    do tokens += sequences[end++].prompt.length; while (
      end < sequences.length && tokens + sequences[end].prompt.length <= chunkTokens
    );
    prefillChunk(model, cache, y, sequences.slice(first, end), first);
    first = end;
  }
}

/**
 * Where everything is while prompts are computed: the new tokens of all prompts in rows 0 .. M, one prompt behind the other,
 * then those of prefixes.
 */
interface Layout {
  /** New tokens and their positions (M). */
  tokens: number[];
  positions: number[];
  /** See attentionForward. */
  queryTiles: number[];
  /** Where the keys and values of prefixes are (N - M). */
  source: number[];
  /** Where keys and values of all rows go (N). */
  target: number[];
}

function layOut(prompts: readonly Prompt[]): Layout {
  const layout: Layout = { tokens: [], positions: [], queryTiles: [], source: [], target: [] };
  const prefixLength = (prefix: Prompt["prefix"]) => prefix?.length ?? 0;
  const M = prompts.reduce(
    (sum, { prompt, prefix }) => sum + prompt.length - prefixLength(prefix),
    0,
  );
  const prefixTargets: number[] = [];
  for (const { prompt, firstRow, prefix } of prompts) {
    const length = prefixLength(prefix);
    const begin = layout.tokens.length;
    const prefixBegin = M + layout.source.length;
    for (let i = length; i < prompt.length; i++) {
      layout.tokens.push(prompt[i]);
      layout.positions.push(i);
      layout.target.push(firstRow + i);
    }
    for (let row = begin; row < layout.tokens.length; row += ATTENTION_TILE_ROWS) {
      const count = Math.min(ATTENTION_TILE_ROWS, layout.tokens.length - row);
      layout.queryTiles.push(row, count, prefixBegin, prefixBegin + length, begin, row, 0, 0);
    }
    for (let i = 0; i < length; i++) {
      layout.source.push(prefix!.firstRow + i);
      prefixTargets.push(firstRow + i);
    }
  }
  layout.target.push(...prefixTargets);
  return layout;
}

function prefillChunk(
  model: Model,
  cache: Tensor[],
  y: Tensor,
  prompts: readonly Prompt[],
  firstSequence: number,
): void {
  const { gpu, runtime, weights } = model;
  const layout = layOut(prompts);
  const put = (name: string, data: number[], shape = [data.length]) => {
    const tensor = runtime.workspace.get(`prefill ${name}`, "u32", shape);
    writeTensor(gpu, tensor, Uint32Array.from(data));
    return tensor;
  };
  const tokens = put("tokens", layout.tokens);
  const positions = put("positions", layout.positions);
  const queryTiles = put("query tiles", layout.queryTiles, [layout.queryTiles.length / 8, 8]);
  const source = layout.source.length > 0 ? put("source", layout.source) : null;
  const target = put("target", layout.target);

  const commands = new Commands(gpu);
  const heads = headsOf(weights);
  const [M] = tokens.shape;
  const [N] = target.shape;
  // The layers compute the new rows, but queries also see those of prefixes, which lie behind them.
  const attention: Attention = ({ qkv }, layer) => {
    const all = layerActivations(runtime, weights, N, layer, "nothing");
    ropeForward(commands, qkv, runtime.ropeTable, positions, heads);
    if (source) kvCacheRead(commands, all.qkv, cache[layer], source, M);
    attentionForward(commands, all.attention, all.lse, all.qkv, queryTiles, heads);
    kvCacheWrite(commands, cache[layer], all.qkv, target);
  };
  layerActivations(runtime, weights, N, 0, "nothing"); // as large as attention needs them
  const { x: embedded } = layerActivations(runtime, weights, M, 0, "nothing");
  embed(commands, weights, embedded, tokens);
  const pass: Pass = { operators: forManyRows(commands, false), attention, kept: "nothing" };
  const { y: x } = layersForward(commands, runtime, weights, pass, embedded);
  const bytes = 4 * weights.config.hiddenSize;
  let end = 0;
  for (const [i, { prompt, prefix }] of prompts.entries()) {
    end += prompt.length - (prefix?.length ?? 0);
    const sourceByte = (end - 1) * bytes;
    commands.copy(y, x, { sourceByte, targetByte: (firstSequence + i) * bytes, bytes });
  }
  commands.submit();
}
