import assert from "node:assert/strict";
import { loadModel } from "../../src/model/load.ts";
import { NonFiniteError, UserError } from "../../src/errors.ts";
import { Decoder } from "../../src/generate/decoder.ts";
import {
  generate,
  type GenerateOptions,
  nextTokenProbabilities,
  sizeFor,
} from "../../src/generate/generate.ts";
import { promptLogprobs, textLogprobs } from "../../src/generate/prompt_logprobs.ts";
import type { Sequence } from "../../src/generate/sequences.ts";
import { Gpu } from "../../src/gpu/device.ts";
import { GREEDY, type Sampling } from "../../src/kernels/sample.ts";
import { prefer } from "../../src/kernels/tuning.ts";
import type { Model } from "../../src/model/model.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { assertClose, gpu, lackOfF16, openTestGpu, random } from "../kernels/harness.ts";
import {
  brokenCheckpoint,
  randomCheckpoint,
  smallConfig,
  tensorsOf,
} from "../model/small_models.ts";
import { modelLogits } from "../reference/model.ts";
import { unless } from "../skip.ts";

const greedy: GenerateOptions = { ...GREEDY, maxNewTokens: 12, seed: 7, stopIds: [] };
const drawn: GenerateOptions = { ...greedy, temperature: 1.5 };

const configs: Record<string, ModelConfig> = {
  "3:1 heads of 16, tied": smallConfig(),
  "4:2 heads of 24, untied": smallConfig({
    hidden_size: 96,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    tie_word_embeddings: false,
  }),
  "3:1 heads of 64, tied, llama3 scaling": smallConfig({
    head_dim: 64,
    rope_scaling: {
      rope_type: "llama3",
      factor: 4,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 16,
    },
  }),
  "Llama with all biases, untied": smallConfig({
    attention_bias: true,
    mlp_bias: true,
    tie_word_embeddings: false,
  }),
  "Qwen3 with biases, 4:2 heads of 24": smallConfig({
    model_type: "qwen3",
    attention_bias: true,
    head_dim: 24,
    num_attention_heads: 4,
    num_key_value_heads: 2,
  }),
};

/** Prompts of one token, of more than an attention tile has, and of lengths between. */
function randomPrompts(vocabSize: number, lengths = [1, 40, 5, 13]): number[][] {
  const next = random(lengths.length);
  const id = () => Math.floor((next() + 1) / 2 * vocabSize);
  return lengths.map((length) => Array.from({ length }, id));
}

function load(config: ModelConfig) {
  return loadModel(gpu, randomCheckpoint(config, 3), { precision: "f32", positions: 64 });
}

/** A decoder with the prompts one behind the other in its cache, and a room of 6 tokens for each. */
function open(model: Model, prompts: number[][], { temperature, seed }: GenerateOptions) {
  let rows = 0;
  const sequences = prompts.map((prompt, slot): Sequence => {
    const sampling: Sampling = { ...GREEDY, temperature, seed, sequence: slot };
    const sequence = { prompt, ids: [], slot, firstRow: rows, sampling, topLogprobs: null };
    rows += prompt.length + 6;
    return sequence;
  });
  return { decoder: new Decoder(model, rows, prompts.length), sequences };
}

const small = await load(configs["3:1 heads of 16, tied"]);
const prompts = randomPrompts(113);

Deno.test("a submit in two parts, by the kernels that GPUs get, draws the same tokens", async () => {
  using opened = await openTestGpu();
  // Whatever it is: this is what hardware would be given.
  const other = new Gpu(opened.device, { ...opened.info, software: false });
  const checkpoint = randomCheckpoint(configs["3:1 heads of 16, tied"], 3);
  const model = await loadModel(other, checkpoint, { precision: "f32", positions: 64 });
  const completions = await generate(small, prompts, { ...drawn, maxNewTokens: 6 });
  const expected = completions.map(({ ids }) => ids);
  // Of five steps behind the first: all one by one; two and the rest; two, and the rest another time.
  for (const [early, goesOn] of [[5, true], [2, true], [2, false]] as const) {
    const { decoder, sequences } = open(model, prompts, drawn);
    const found = (await decoder.begin(sequences)).map(({ id }) => [id]);
    const asked: number[] = [];
    for (let left = 5; left > 0; left = 6 - found[0].length) {
      for (const [b, { ids }] of sequences.entries()) ids.push(...found[b].slice(ids.length));
      decoder.stepMs = 10 / early; // so many steps make the turn of others
      const tokens = await decoder.next(sequences, left, () => asked.push(left) > 0 && goesOn);
      for (const [b, drawnTokens] of tokens.entries()) {
        found[b].push(...drawnTokens.map(({ id }) => id));
      }
    }
    assert.deepEqual(found, expected);
    assert.deepEqual(asked, early === 5 ? [] : goesOn ? [5] : [5, 3]);
  }
});

for (const [name, config] of Object.entries(configs)) {
  Deno.test(`cached decoding equals the full forward: ${name}`, async () => {
    const { vocabSize: V } = config;
    const tensors = await tensorsOf(randomCheckpoint(config, 3));
    const model = await load(config);
    const { decoder, sequences } = open(model, prompts, drawn);
    for (let step = 0; step < 6; step++) {
      const tokens = step === 0
        ? await decoder.begin(sequences)
        : (await decoder.next(sequences, 1)).flat();
      for (const [b, { prompt, ids }] of sequences.entries()) {
        const expected = softmax(
          modelLogits(config, tensors, [...prompt, ...ids]).slice(-V),
          drawn.temperature,
        );
        const found = await decoder.probabilities(b);
        assertClose(found, expected, { absolute: 1e-7, relative: 2e-4, name: `${b}, ${step}` });
        ids.push(tokens[b].id);
      }
    }
  });

  Deno.test(`greedy decoding takes the likeliest token of the full forward: ${name}`, async () => {
    const { vocabSize: V } = config;
    const tensors = await tensorsOf(randomCheckpoint(config, 3));
    const completions = await generate(await load(config), prompts, greedy);
    for (const [b, { ids, finishReason }] of completions.entries()) {
      assert.equal(finishReason, "length");
      assert.equal(ids.length, greedy.maxNewTokens);
      const logits = modelLogits(config, tensors, [...prompts[b], ...ids]);
      for (const [i, id] of ids.entries()) {
        const t = prompts[b].length - 1 + i;
        const row = logits.subarray(t * V, (t + 1) * V);
        assert.equal(id, row.indexOf(Math.max(...row)), `sequence ${b}, token ${i}`);
      }
    }
  });
}

function softmax(logits: Float64Array, temperature: number): Float64Array {
  const largest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp((logit - largest) / temperature));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

Deno.test("a sequence has the same continuation and the same bits in any batch", async () => {
  const others = randomPrompts(113, [3, 9, 2, 33, 7, 1, 20, 4, 6, 11]);
  const whole = await generate(small, [prompts[1], ...others], greedy);
  const [alone] = await generate(small, [prompts[1]], greedy);
  assert.deepEqual(alone, whole[0]);

  const first = async (all: number[][]) => {
    const { decoder, sequences } = open(small, all, drawn);
    await decoder.begin(sequences);
    return await decoder.probabilities(0);
  };
  assert.deepEqual(await first([prompts[1]]), await first([prompts[1], ...others]));
});

Deno.test({
  ...unless(lackOfF16, "f16 decoding draws from nearly the same distribution as f32"),
  async fn() {
    const checkpoint = randomCheckpoint(configs["4:2 heads of 24, untied"], 3);
    const distribution = async (precision: "f16" | "f32") => {
      const model = await loadModel(gpu, checkpoint, { precision, positions: 64 });
      const { decoder, sequences } = open(model, prompts, drawn);
      await decoder.begin(sequences);
      for (const sequence of sequences) sequence.ids.push(17);
      await decoder.next(sequences, 1);
      return await decoder.probabilities(1);
    };
    const found = await distribution("f16");
    assertClose(found, await distribution("f32"), { absolute: 1e-3, relative: 2e-2 });
  },
});

Deno.test("prompts that are computed in several chunks keep their places", async () => {
  const many = randomPrompts(113, Array(42).fill(50)); // 2,100 tokens
  const whole = await generate(small, many, { ...greedy, maxNewTokens: 3 });
  for (const b of [0, 40, 41]) {
    const [alone] = await generate(small, [many[b]], { ...greedy, maxNewTokens: 3 });
    assert.deepEqual(whole[b], alone, `prompt ${b}`);
  }
});

Deno.test("the same seed draws the same, another seed or index something else", async () => {
  const twins = [prompts[2], prompts[2]];
  const once = await generate(small, twins, drawn);
  assert.deepEqual(await generate(small, twins, drawn), once);
  assert.notDeepEqual(once[0].ids, once[1].ids);
  const other = await generate(small, twins, { ...drawn, seed: 8 });
  assert.notDeepEqual(other[0].ids, once[0].ids);
});

Deno.test("a stop id ends its sequence and no other", async () => {
  const free = await generate(small, prompts, greedy);
  const stop = free[1].ids[4];
  const told: number[][] = prompts.map(() => []);
  const stopped = await generate(small, prompts, {
    ...greedy,
    stopIds: [stop],
    onToken: (sequence, id) => told[sequence].push(id),
  });
  for (const [b, { ids, finishReason }] of stopped.entries()) {
    const end = free[b].ids.indexOf(stop) + 1;
    assert.deepEqual(ids, end > 0 ? free[b].ids.slice(0, end) : free[b].ids);
    assert.equal(finishReason, end > 0 ? "stop" : "length");
  }
  assert.equal(stopped[1].finishReason, "stop");
  assert.ok(stopped.some(({ finishReason }) => finishReason === "length"));
  assert.deepEqual(told, stopped.map(({ ids }) => ids));
});

Deno.test("an aborted generation keeps what it has", async () => {
  const controller = new AbortController();
  const [completion] = await generate(small, [prompts[0]], {
    ...greedy,
    onToken: () => controller.abort(),
    signal: controller.signal,
  });
  assert.equal(completion.finishReason, "aborted");
  assert.equal(completion.ids.length, 1);
});

Deno.test("a strong repetition penalty lets no token come twice, nor one of the prompt", async () => {
  const [plain] = await generate(small, [prompts[3]], { ...greedy, maxNewTokens: 40 });
  assert.ok(new Set(plain.ids).size < 40);
  const [{ ids }] = await generate(small, [prompts[3]], {
    ...greedy,
    maxNewTokens: 40,
    repetitionPenalty: 1e6,
  });
  assert.equal(new Set(ids).size, 40);
  assert.ok(prompts[3].every((id) => !ids.includes(id)));
});

Deno.test("top-k filters the distribution of the next token", async () => {
  const found = await nextTokenProbabilities(small, prompts[3], { ...drawn, topK: 3 });
  const all = await nextTokenProbabilities(small, prompts[3], drawn);
  const likeliest = Array.from(all.keys()).sort((a, b) => all[b] - all[a]).slice(0, 3);
  const sum = likeliest.reduce((total, id) => total + all[id], 0);
  const expected = Array.from(all, (p, id) => likeliest.includes(id) ? p / sum : 0);
  assertClose(found, expected, { absolute: 1e-6 });
});

Deno.test("prompts that cannot be continued are refused", async () => {
  const refuses = async (prompt: number[], message: RegExp, options = greedy) =>
    await assert.rejects(generate(small, [[1], prompt], options), (error) => {
      assert.ok(error instanceof UserError, `${error}`);
      assert.match(error.message, message);
      return true;
    });
  await refuses([], /^Expected a prompt of at least one token/);
  await refuses([5, 113], /^Expected a prompt of token ids from 0 to 112, .* found 113$/);
  await refuses([-1], /found -1$/);
  await refuses([1.5], /found 1\.5$/);
  await refuses(Array(53).fill(1), /Expected at most 64 positions .* found 53 \+ 12: shorten/);
  await generate(small, [Array(52).fill(1)], greedy);
});

Deno.test("what is not finite ends a generation with its place, and is no probability", async () => {
  const broken = await loadModel(gpu, brokenCheckpoint(7), { precision: "f32", positions: 64 });
  const refuses = async (promise: Promise<unknown>, message: RegExp) =>
    await assert.rejects(promise, (error) => {
      assert.ok(error instanceof NonFiniteError, `${error}`);
      assert.match(error.message, message);
      return true;
    });
  const token = /^Expected finite scores for token 1 of the answer, found NaN or infinity: /;
  let told = 0;
  const onToken = () => void told++;
  const long = { ...greedy, maxNewTokens: 50, onToken };
  await refuses(generate(broken, [[1, 2], [1, 7], [3]], long), token);
  assert.ok(told < 100, "the others were ended");
  await refuses(nextTokenProbabilities(broken, [7], drawn), token);
  // Keys of later tokens weigh nothing, but nothing times NaN is NaN: a token before it may be the first.
  const place = /^Expected finite log-probabilities at token [23] of the prompt, found NaN: /;
  await refuses(promptLogprobs(broken, [5, 7, 6, 7], 2), place);
  assert.equal((await promptLogprobs(broken, [5, 6, 8], 2)).length, 2);
});

Deno.test("texts have the same log-probabilities together and alone, in one pass or several", async () => {
  const model = await loadModel(gpu, randomCheckpoint(smallConfig(), 3), {
    precision: "f32",
    positions: 64,
  });
  const texts = [[5], [1, 2, 3], [4, 5, 6, 7, 8, 9], [2, 2], [9, 8, 7, 6]];
  const alone = [];
  for (const text of texts) alone.push(await promptLogprobs(model, text, 2));
  assert.deepEqual(await textLogprobs(model, texts, 2), alone);
  assert.deepEqual(alone.map(({ length }) => length), texts.map(({ length }) => length - 1));
  prefer(gpu, "scoredTokens", 7);
  model.runtime.headRows = 2;
  try {
    assert.deepEqual(await textLogprobs(model, texts, 2), alone);
  } finally {
    prefer(gpu, "scoredTokens", undefined);
  }
});

Deno.test("a generation leaves no staging buffers behind, whether it ends or fails", async () => {
  using other = await openTestGpu();
  const live = new Set<GPUBuffer>();
  const createBuffer = other.device.createBuffer.bind(other.device);
  other.device.createBuffer = (descriptor) => {
    const buffer = createBuffer(descriptor);
    if (descriptor.usage & GPUBufferUsage.MAP_READ) live.add(buffer);
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => {
      live.delete(buffer);
      destroy();
    };
    return buffer;
  };
  const model = await loadModel(other, brokenCheckpoint(7), { precision: "f32", positions: 64 });
  await generate(model, [[1, 2], [3]], greedy);
  assert.equal(live.size, 0);
  await nextTokenProbabilities(model, [1], drawn); // reads a tensor: the buffer for that stays
  const kept = live.size;
  await generate(model, [[1, 2], [3]], greedy);
  await assert.rejects(generate(model, [[1, 2], [7]], greedy));
  await nextTokenProbabilities(model, [1], drawn);
  await assert.rejects(nextTokenProbabilities(model, [7], drawn));
  await promptLogprobs(model, [1, 2, 3], 1);
  assert.equal(live.size, kept);
});

Deno.test("a cache holds all prompts, or as many as fit; a single one that never fits is refused", async () => {
  const rowBytes = 2 * 16 * 4;
  const limits = { maxBufferSize: 100 * rowBytes, maxStorageBufferBindingSize: 90 * rowBytes };
  const narrow = { ...small, gpu: { info: gpu.info, device: { limits } } as unknown as Gpu };
  const sizes = (lengths: number[]) => sizeFor(narrow, randomPrompts(113, lengths), 12);
  assert.deepEqual(sizes([30, 20]), { cacheRows: 74, slots: 2 });
  assert.deepEqual(sizes([30, 20, 15]), { cacheRows: 90, slots: 3 });
  const longer = smallConfig({ max_position_embeddings: 200 });
  const checkpoint = randomCheckpoint(longer, 3);
  const roomy = await loadModel(gpu, checkpoint, { precision: "f32", positions: 200 });
  await assert.rejects(
    generate({ ...roomy, gpu: narrow.gpu }, randomPrompts(113, [79]), greedy),
    /Expected a key\/value cache of at most 90 tokens on .*, found 79 \+ 12: shorten/,
  );
});
