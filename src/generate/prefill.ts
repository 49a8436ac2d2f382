// This module is browser compatible.
import { Commands } from "../gpu/commands.ts";
import { type Tensor, writeTensor } from "../gpu/tensor.ts";
import { kvCacheWrite } from "../kernels/attention_decode.ts";
import { embeddingForward } from "../kernels/embedding.ts";
import { packTokens } from "../model/batch.ts";
import { layerActivations, layerForward } from "../model/forward.ts";
import type { Model } from "../model/model.ts";
import type { Sequence } from "./sequences.ts";

/** A prompt, and the first of its rows in the cache. */
type Prompt = Pick<Sequence, "prompt" | "firstRow">;

/** Tokens computed together; a longer prompt is computed alone. */
const CHUNK_TOKENS = 2048;

/**
 * Computes the prompts: fills the cache with their keys and values.
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
  let first = 0;
  while (first < sequences.length) {
    let end = first;
    let tokens = 0;
    do tokens += sequences[end++].prompt.length; while (
      end < sequences.length && tokens + sequences[end].prompt.length <= CHUNK_TOKENS
    );
    prefillChunk(model, cache, y, sequences.slice(first, end), first);
    first = end;
  }
}

function prefillChunk(
  { gpu, runtime, weights }: Model,
  cache: Tensor[],
  y: Tensor,
  sequences: readonly Prompt[],
  firstSequence: number,
): void {
  const packed = packTokens(sequences.map(({ prompt }) => ({ prefix: [], branches: [prompt] })));
  const rows = sequences.flatMap(({ prompt, firstRow }) => prompt.map((_, i) => firstRow + i));
  const put = (name: string, data: Uint32Array, shape: number[]) => {
    const tensor = runtime.workspace.get(`prefill ${name}`, "u32", shape);
    writeTensor(gpu, tensor, data);
    return tensor;
  };
  const N = rows.length;
  const tokens = put("tokens", packed.tokens, [N]);
  const cacheRows = put("cache rows", Uint32Array.from(rows), [N]);
  const batch = {
    positions: put("positions", packed.positions, [N]),
    queryTiles: put("query tiles", packed.queryTiles, [packed.queryTiles.length / 8, 8]),
  };

  const commands = new Commands(gpu);
  let { x } = layerActivations(runtime, weights, N, 0, false);
  embeddingForward(commands, x, weights.parameters.get("embed_tokens")!.operand, tokens);
  for (const [layer, keysAndValues] of cache.entries()) {
    const act = { ...layerActivations(runtime, weights, N, layer, false), x };
    layerForward(commands, runtime, weights, layer, batch, act);
    kvCacheWrite(commands, keysAndValues, act.qkv, cacheRows);
    x = act.y;
  }
  const bytes = 4 * weights.config.hiddenSize;
  let end = 0;
  for (const [i, { prompt }] of sequences.entries()) {
    end += prompt.length;
    const sourceByte = (end - 1) * bytes;
    commands.copy(y, x, { sourceByte, targetByte: (firstSequence + i) * bytes, bytes });
  }
  commands.submit();
}
