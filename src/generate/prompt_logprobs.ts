// This module is browser compatible.
import { divide } from "../data/divide.ts";
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
import { tokensPerPass, topForward, trunkForward } from "../model/forward.ts";
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
  return (await textLogprobs(model, [prompt], top))[0];
}

/** {@link promptLogprobs} of several texts, many of them in one forward pass, to the same bits. */
export async function textLogprobs(
  model: Model,
  texts: readonly (readonly number[])[],
  top: number,
): Promise<TokenLogprobs[][]> {
  for (const prompt of texts) checkPrompt(model, { prompt, maxNewTokens: 0 }, Infinity);
  const limits = { rows: Infinity, tokens: tokensPerPass(model) };
  const found: TokenLogprobs[][] = [];
  for (const batch of divide(texts, ({ length }) => length, limits)) {
    found.push(...await packedLogprobs(model, batch, top));
  }
  return found;
}

async function packedLogprobs(
  model: Model,
  texts: readonly (readonly number[])[],
  top: number,
): Promise<TokenLogprobs[][]> {
  const { gpu, runtime, weights } = model;
  const { vocabSize: V } = weights.config;
  const told = Math.min(top, MOST_TOP_LOGPROBS, V);
  const packed = packTokens(texts.map((text) => ({ prefix: [], branches: [text] })));
  // After the last token of a text nothing is predicted.
  const rows = Uint32Array.from(packed.positions.keys())
    .filter((row) => packed.positions[row + 1] > 0);
  if (rows.length === 0) return texts.map(() => []);

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
  const out = runtime.workspace.get("prompt logprobs", "u32", [rows.length, 1, words]);
  const commands = new Commands(gpu);
  const trunk = trunkForward(commands, runtime, weights, batch, 0);
  const { y } = topForward(commands, runtime, weights, batch, trunk, 0, false);
  for (let first = 0; first < rows.length; first += runtime.headRows) {
    const part = rows.subarray(first, first + runtime.headRows);
    const scratch = headRows(runtime, weights, part.length);
    commands.submit(); // before the lists of rows are overwritten
    logitsForward(commands, headOf(weights), scratch, y, put("rows", part));
    const chosen = put("chosen", part.map((row) => packed.tokens[row + 1]));
    const partOut = runtime.workspace.get("prompt part", "u32", [part.length, 1, words]);
    tokenLogprobs(commands, partOut, scratch.logits, chosen, { V, top: told });
    commands.copy(out, partOut, { targetByte: 4 * words * first });
  }
  commands.submit();
  const all = await readTensorU32(gpu, out) as Uint32Array<ArrayBuffer>;
  let row = 0;
  return texts.map((text) =>
    text.slice(1).map((id, i) => {
      const found = readTokenLogprobs(all.subarray(row * words, ++row * words), id);
      const wrong = [found, ...found.top].find(({ logprob }) => !Number.isFinite(logprob));
      if (!wrong) return found;
      const what = `log-probabilities at token ${i + 2} of the prompt`;
      throw nonFiniteError(weights, what, `${wrong.logprob}`);
    })
  );
}
