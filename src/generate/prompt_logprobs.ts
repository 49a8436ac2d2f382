// This module is browser compatible.
import { Commands } from "../gpu/commands.ts";
import { readTensorU32, writeTensor } from "../gpu/tensor.ts";
import {
  logprobWords,
  readTokenLogprobs,
  type TokenLogprobs,
  tokenLogprobs,
} from "../kernels/token_logprobs.ts";
import { packTokens } from "../model/batch.ts";
import { nonFiniteError } from "../model/finite.ts";
import { topForward, trunkForward } from "../model/forward.ts";
import { headOf, headRows, logitsForward } from "../model/head.ts";
import type { Model } from "../model/model.ts";
import { MOST_TOP_LOGPROBS } from "./decoder.ts";
import { checkPrompt } from "./sequences.ts";

/**
 * How likely each token of a text is after those before it, and what would have been likelier.
 *
 * @param prompt Token ids.
 * @param top Likeliest tokens to tell for each position; no more than the vocabulary has are told.
 * @returns One entry per token but the first, which nothing predicts.
 * @throws {UserError} If the prompt is empty, has an unknown id, or is too long.
 * @throws {NonFiniteError} If a log-probability is NaN or infinite.
 */
export async function promptLogprobs(
  model: Model,
  prompt: readonly number[],
  top: number,
): Promise<TokenLogprobs[]> {
  checkPrompt(model, { prompt, maxNewTokens: 0 }, Infinity);
  const { gpu, runtime, weights } = model;
  const { vocabSize: V } = weights.config;
  const told = Math.min(top, MOST_TOP_LOGPROBS, V);
  const rows = prompt.length - 1;
  if (rows === 0) return [];

  const packed = packTokens([{ prefix: [], branches: [prompt] }]);
  const put = (name: string, data: Uint32Array, width = 1) => {
    const shape = width === 1 ? [data.length] : [data.length / width, width];
    const tensor = runtime.workspace.get(`prompt ${name}`, "u32", shape);
    writeTensor(gpu, tensor, data);
    return tensor;
  };
  const batch = {
    tokens: put("tokens", packed.tokens),
    positions: put("positions", packed.positions),
    queryTiles: put("query tiles", packed.queryTiles, 8),
  };
  const words = logprobWords(told);
  const out = runtime.workspace.get("prompt logprobs", "u32", [rows, 1, words]);
  const commands = new Commands(gpu);
  const trunk = trunkForward(commands, runtime, weights, batch, 0);
  const { y } = topForward(commands, runtime, weights, batch, trunk, 0, false);
  for (let first = 0; first < rows; first += runtime.headRows) {
    const count = Math.min(runtime.headRows, rows - first);
    const scratch = headRows(runtime, weights, count);
    const indices = Uint32Array.from({ length: count }, (_, i) => first + i);
    commands.submit(); // before the lists of rows are overwritten
    logitsForward(commands, headOf(weights), scratch, y, put("rows", indices));
    const chosen = put("chosen", Uint32Array.from(indices, (row) => prompt[row + 1]));
    const part = runtime.workspace.get("prompt part", "u32", [count, 1, words]);
    tokenLogprobs(commands, part, scratch.logits, chosen, { V, top: told });
    commands.copy(out, part, { targetByte: 4 * words * first });
  }
  commands.submit();
  const all = await readTensorU32(gpu, out) as Uint32Array<ArrayBuffer>;
  return Array.from({ length: rows }, (_, i) => {
    const found = readTokenLogprobs(all.subarray(i * words, (i + 1) * words), prompt[i + 1]);
    const wrong = [found, ...found.top].find(({ logprob }) => !Number.isFinite(logprob));
    if (!wrong) return found;
    const what = `log-probabilities at token ${i + 2} of the prompt`;
    throw nonFiniteError(weights, what, `${wrong.logprob}`);
  });
}
