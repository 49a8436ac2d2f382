import assert from "node:assert/strict";
import { loadModel } from "../../src/model/load.ts";
import { NonFiniteError, UserError } from "../../src/errors.ts";
import { Batcher, type GenerationRequest } from "../../src/generate/batcher.ts";
import { Decoder, type DrawnToken } from "../../src/generate/decoder.ts";
import { generate } from "../../src/generate/generate.ts";
import { GREEDY } from "../../src/kernels/sample.ts";
import { assertClose, gpu, openTestGpu, random } from "../kernels/harness.ts";
import {
  brokenCheckpoint,
  randomCheckpoint,
  smallConfig,
  tensorsOf,
} from "../model/small_models.ts";
import { modelLogits } from "../reference/model.ts";

const config = smallConfig();
const checkpoint = randomCheckpoint(config, 3);
const model = await loadModel(gpu, checkpoint, { precision: "f32", positions: 64 });

const next = random(9);
const prompts = Array.from(
  { length: 12 },
  (_, b) => Array.from({ length: 1 + (7 * b) % 23 }, () => Math.floor((next() + 1) / 2 * 113)),
);
const request = (b: number, rest: Partial<GenerationRequest> = {}): GenerationRequest => ({
  prompt: prompts[b],
  maxNewTokens: 4 + b,
  sampling: { ...GREEDY, temperature: b % 2, seed: 5, sequence: b },
  stopIds: [],
  ...rest,
});
const aloneOf = async (one: GenerationRequest) =>
  await new Batcher(model, { cacheRows: 64, slots: 1 }).add(one);

Deno.test("requests that come and go are answered as each would be alone", async () => {
  const alone = [];
  for (const b of prompts.keys()) alone.push((await aloneOf(request(b))).ids);
  // Room for about three: the others wait for their turn, and join where somebody left.
  const batcher = new Batcher(model, { cacheRows: 80, slots: 4, submitMs: 5 });
  const late: Promise<unknown>[] = [];
  const answers = prompts.keys().map((b) =>
    batcher.add(request(b, {
      onTokens: () => b === 2 && late.length === 0 && late.push(batcher.add(request(11))),
    }))
  ).toArray();
  const completions = await Promise.all(answers);
  assert.deepEqual(completions.map(({ ids }) => ids), alone);
  assert.deepEqual(await Promise.all(late), [{
    ids: alone[11],
    cachedTokens: 0,
    finishReason: "length",
  }]);
  assert.deepEqual(batcher.load, idle(80));
});

Deno.test("what is given up, running or waiting, frees its place and harms nobody", async () => {
  const batcher = new Batcher(model, { cacheRows: 64, slots: 2, submitMs: 1 });
  const [running, waiting] = [new AbortController(), new AbortController()];
  const first = batcher.add(request(6, {
    maxNewTokens: 30,
    signal: running.signal,
    onTokens: () => running.abort(),
  }));
  const second = batcher.add(request(3));
  const third = batcher.add(request(4, { signal: waiting.signal }));
  const fourth = batcher.add(request(5));
  waiting.abort();
  assert.deepEqual(await third, { ids: [], cachedTokens: 0, finishReason: "aborted" });
  const { ids, finishReason } = await first;
  assert.equal(finishReason, "aborted");
  assert.equal(ids.length, 1);
  assert.deepEqual(await second, await aloneOf(request(3)));
  assert.deepEqual(await fourth, await aloneOf(request(5)));
  assert.equal(batcher.load.freeCacheRows, 64);
  const before = { signal: AbortSignal.abort() };
  assert.equal((await batcher.add(request(1, before))).finishReason, "aborted");
});

/** Replaces a method of all decoders while something is done. */
async function withDecoder<M extends "begin" | "next">(
  method: M,
  replacement: (original: Decoder[M]) => Decoder[M],
  action: () => Promise<void>,
): Promise<void> {
  const original = Decoder.prototype[method];
  Decoder.prototype[method] = replacement(original);
  try {
    await action();
  } finally {
    Decoder.prototype[method] = original;
  }
}

const idle = (cacheRows: number) => ({
  running: 0,
  waiting: 0,
  cacheRows,
  freeCacheRows: cacheRows,
});

/** Asserts that a batcher has all of its slots: each of so many requests waits for the others to begin. */
async function assertSlots(batcher: Batcher, slots: number): Promise<void> {
  let most = 0;
  const onTokens = () => most = Math.max(most, batcher.load.running);
  const requests = Array.from({ length: slots }, () => request(0, { maxNewTokens: 2, onTokens }));
  await Promise.all(requests.map((one) => batcher.add(one)));
  assert.equal(most, slots);
}

Deno.test("a listener that throws ends its own request alone", async () => {
  const batcher = new Batcher(model, { cacheRows: 80, slots: 2 });
  const bad = (text: string) => ({
    onTokens: () => {
      throw new Error(text);
    },
  });
  for (let i = 0; i < 3; i++) { // more often than there are slots
    const answers = await Promise.allSettled([
      batcher.add(request(2, bad("listener"))),
      batcher.add(request(3)),
      batcher.add(request(4)),
    ]);
    assert.deepEqual(answers[0].status === "rejected" && answers[0].reason.message, "listener");
    for (const b of [3, 4]) {
      const alone = await aloneOf(request(b));
      assert.deepEqual(answers[b - 2], { status: "fulfilled", value: alone });
    }
    assert.deepEqual(batcher.load, idle(80));
  }
  await assertSlots(batcher, 2);
});

Deno.test("a prompt that cannot be computed fails alone, whoever joined with it", async () => {
  const batcher = new Batcher(model, { cacheRows: 120, slots: 3 });
  const breaks = (begin: Decoder["begin"]): Decoder["begin"] =>
    function (this: Decoder, sequences) {
      if (sequences.some(({ prompt }) => prompt === prompts[2])) throw new Error("no memory");
      return begin.call(this, sequences);
    };
  await withDecoder("begin", breaks, async () => {
    for (let i = 0; i < 4; i++) {
      const answers = await Promise.allSettled([2, 3, 4, 5].map((b) => batcher.add(request(b))));
      assert.deepEqual(answers[0].status === "rejected" && answers[0].reason.message, "no memory");
      for (const [i, b] of [3, 4, 5].entries()) {
        const alone = await aloneOf(request(b));
        assert.deepEqual(answers[1 + i], { status: "fulfilled", value: alone });
      }
      assert.deepEqual(batcher.load, idle(120));
    }
  });
  await assertSlots(batcher, 3);
});

Deno.test("a step that fails costs those who were part of it, and not those who wait", async () => {
  const batcher = new Batcher(model, { cacheRows: 80, slots: 2 });
  let failures = 1;
  const breaks = (next: Decoder["next"]): Decoder["next"] =>
    function (this: Decoder, ...given) {
      return failures-- > 0 ? Promise.reject(new Error("no step")) : next.apply(this, given);
    };
  await withDecoder("next", breaks, async () => {
    const answers = await Promise.allSettled([2, 3, 4].map((b) => batcher.add(request(b))));
    assert.deepEqual(
      answers.map((answer) => answer.status === "rejected" && answer.reason.message),
      ["no step", "no step", false],
    );
  });
  assert.deepEqual(batcher.load, idle(80));
  await assertSlots(batcher, 2);
});

Deno.test("who leaves while the prompt is read frees everything when that is done", async () => {
  const batcher = new Batcher(model, { cacheRows: 80, slots: 2 });
  const leaves = new AbortController();
  const meanwhile = (begin: Decoder["begin"]): Decoder["begin"] =>
    async function (this: Decoder, sequences) {
      const reading = begin.call(this, sequences);
      leaves.abort();
      return await reading;
    };
  const told: DrawnToken[] = [];
  await withDecoder("begin", meanwhile, async () => {
    const left = batcher.add(request(6, {
      signal: leaves.signal,
      onTokens: (tokens) => told.push(...tokens),
    }));
    const beside = batcher.add(request(3));
    assert.deepEqual(await left, { ids: [], cachedTokens: 0, finishReason: "aborted" });
    assert.deepEqual(await beside, await aloneOf(request(3)));
  });
  assert.deepEqual(told, []);
  assert.deepEqual(batcher.load, idle(80));
});

Deno.test("on a lost device everybody is told so, those who come later too, and the thread goes on", async () => {
  using lost = await openTestGpu();
  const loaded = await loadModel(lost, checkpoint, { precision: "f32", positions: 64 });
  const batcher = new Batcher(loaded, { cacheRows: 80, slots: 2 });
  await batcher.add(request(2));
  const inWork = [2, 3, 4, 5].map((b) => batcher.add(request(b, { maxNewTokens: 20 })));
  lost.device.destroy();
  const reasons = (answers: PromiseSettledResult<unknown>[]) =>
    answers.map((answer) => answer.status === "rejected" && answer.reason.message);
  for (const reason of reasons(await Promise.allSettled(inWork))) assert.match(`${reason}`, /lost/);
  for (let i = 0; i < 3; i++) {
    const later = await Promise.allSettled([6, 7, 8].map((b) => batcher.add(request(b))));
    for (const reason of reasons(later)) assert.match(`${reason}`, /lost/);
  }
  await new Promise((next) => setTimeout(next)); // which a loop without an await keeps from being called
  assert.deepEqual(batcher.load, idle(80));
});

Deno.test("scores that are not finite are told with their token, and cost nobody else anything", async () => {
  const broken = await loadModel(gpu, brokenCheckpoint(7), { precision: "f32", positions: 64 });
  const batcher = new Batcher(broken, { cacheRows: 80, slots: 3 });
  const ask = (prompt: number[], rest: Partial<GenerationRequest> = {}) =>
    batcher.add({ ...request(0, rest), prompt, maxNewTokens: 6 });
  const sound = await ask([1, 2, 3]);
  for (const temperature of [0, 1]) {
    const sampling = { ...GREEDY, temperature };
    const [bad, beside, late] = await Promise.allSettled([
      ask([1, 7, 3], { sampling, topLogprobs: 2 }),
      ask([1, 2, 3]),
      // Forced to say the token that it breaks on: what came before is told.
      ask([4, 5], { bias: new Map([[7, 100]]), sampling }),
    ]);
    assert.ok(bad.status === "rejected" && bad.reason instanceof NonFiniteError);
    assert.match(bad.reason.message, /finite scores for token 1 of the answer.*another model/);
    assert.deepEqual(beside, { status: "fulfilled", value: sound });
    assert.ok(late.status === "rejected" && late.reason instanceof NonFiniteError);
    assert.match(late.reason.message, /finite scores for token 2 of the answer/);
  }
  assert.deepEqual(batcher.load, idle(80));
  await assertSlots(batcher, 3);
});

Deno.test("prompts that are too wide for the device together are computed one by one, one that is alone is refused", async () => {
  const wide = smallConfig({
    hidden_size: 8,
    num_hidden_layers: 1,
    num_attention_heads: 1,
    num_key_value_heads: 1,
    intermediate_size: 65_536,
    max_position_embeddings: 2048,
  });
  using other = await openTestGpu();
  const options = { precision: "f32", positions: 2048 } as const;
  const loaded = await loadModel(other, randomCheckpoint(wide, 3), options);
  const most = Math.floor(other.device.limits.maxStorageBufferBindingSize / (4 * 2 * 65_536));
  const batcher = new Batcher(loaded, { cacheRows: 1024, slots: 2 });
  const ask = (tokens: number) =>
    batcher.add({
      ...request(0),
      prompt: Array.from({ length: tokens }, (_, i) => 1 + i % 100),
      maxNewTokens: 1,
    });
  if (most < 1024) {
    await assert.rejects(ask(most + 1), (error: Error) => {
      assert.ok(error instanceof UserError);
      return /at most \d+ tokens, as many as .* computes together .* shorten the prompt/.test(
        error.message,
      );
    });
  }
  const count = Math.min(200, Math.floor(most * 0.6));
  const answers = await Promise.all([ask(count), ask(count + 20), ask(count + 40)]);
  assert.deepEqual(answers.map(({ ids }) => ids.length), [1, 1, 1]);
  assert.deepEqual(batcher.load, idle(1024));
});

Deno.test("memory does not depend on how many steps a submit has time for", async () => {
  using other = await openTestGpu();
  const loaded = await loadModel(other, checkpoint, { precision: "f32", positions: 64 });
  const batcher = new Batcher(loaded, { cacheRows: 80, slots: 2, submitMs: 100 });
  const bytes: number[] = [];
  let stepMs = 0;
  const timed = (next: Decoder["next"]): Decoder["next"] =>
    function (this: Decoder, ...given) {
      this.stepMs = stepMs;
      return next.apply(this, given);
    };
  await withDecoder("next", timed, async () => {
    for (stepMs of [100, 30, 5]) {
      const rest = { maxNewTokens: 20, topLogprobs: stepMs > 50 ? 1 : 20 };
      await Promise.all([batcher.add(request(2, rest)), batcher.add(request(3, rest))]);
      bytes.push(other.memory.bytes);
    }
  });
  assert.deepEqual(bytes, bytes.map(() => bytes[0]));
});

Deno.test("log-probabilities are those of the full forward, for those who ask", async () => {
  const batcher = new Batcher(model, { cacheRows: 128, slots: 3 });
  const told: DrawnToken[][] = [[], [], []];
  const wishes = [3, null, 0];
  const completions = await Promise.all(wishes.map((topLogprobs, b) =>
    batcher.add(request(b + 4, {
      topLogprobs,
      onTokens: (tokens) => told[b].push(...tokens),
    }))
  ));
  const tensors = await tensorsOf(checkpoint);
  const V = config.vocabSize;
  for (const [b, wish] of wishes.entries()) {
    const { ids } = completions[b];
    assert.deepEqual(told[b].map(({ id }) => id), ids);
    if (wish === null) {
      assert.ok(told[b].every(({ logprobs }) => logprobs === undefined));
      continue;
    }
    const prompt = prompts[b + 4];
    const logits = modelLogits(config, tensors, [...prompt, ...ids]);
    for (const [i, { id, logprobs }] of told[b].entries()) {
      const row = logits.slice((prompt.length - 1 + i) * V, (prompt.length + i) * V);
      const lse = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
      const likeliest = [...row.keys()].sort((x, y) => row[y] - row[x]).slice(0, wish);
      assert.deepEqual(logprobs!.top.map(({ id }) => id), likeliest);
      const found = [logprobs!.logprob, ...logprobs!.top.map(({ logprob }) => logprob)];
      const expected = [id, ...likeliest].map((token) => row[token] - lse);
      assertClose(found, expected, { absolute: 2e-4, name: `request ${b}, token ${i}` });
    }
  }
});

Deno.test("a bias forbids and forces; penalties keep tokens from coming again", async () => {
  const plain = (await aloneOf(request(2))).ids;
  const forbidden = await aloneOf(request(2, { bias: new Map([[plain[0], -100]]) }));
  assert.ok(!forbidden.ids.includes(plain[0]));
  const forced = await aloneOf(request(2, { bias: new Map([[7, 100]]) }));
  assert.deepEqual(forced.ids, Array(6).fill(7));
  const sampling = { ...request(2).sampling, presencePenalty: 200 };
  const fresh = await aloneOf(request(2, { maxNewTokens: 40, sampling }));
  assert.equal(new Set(fresh.ids).size, 40);
  // A slot forgets what the one before it said.
  const batcher = new Batcher(model, { cacheRows: 64, slots: 1 });
  await batcher.add(request(2, { bias: new Map([[7, 100]]) }));
  assert.deepEqual((await batcher.add(request(2))).ids, plain);
});

Deno.test("what never fits is refused at once; what is wrong too", async () => {
  const batcher = new Batcher(model, { cacheRows: 20, slots: 1 });
  const refuses = (one: Partial<GenerationRequest>, message: RegExp) =>
    assert.rejects(batcher.add(request(0, one)), (error: Error) => message.test(error.message));
  await refuses({ maxNewTokens: 20 }, /cache of at most 20 tokens .* found 1 \+ 20/);
  await refuses({ prompt: [] }, /at least one token/);
  await refuses({ sampling: { ...GREEDY, topP: 2 } }, /topP to be a number from 0 to 1/);
  await assert.rejects(batcher.add(request(0, { prompt: [113] })), UserError);
  await refuses({ bias: new Map([[113, 1]]) }, /a bias of token ids from 0 to 112, .* found 113/);
  await refuses({ bias: new Map([[2 ** 32, 1]]) }, /found 4294967296/);
  assert.deepEqual(await batcher.add(request(0, { maxNewTokens: 0 })), {
    ids: [],
    cachedTokens: 0,
    finishReason: "length",
  });
  assert.equal((await generate(model, [], { ...GREEDY, maxNewTokens: 3, stopIds: [] })).length, 0);
});

Deno.test("a known beginning is not computed again, and changes no bit of the answer", async () => {
  const long = Array.from({ length: 100 }, (_, i) => (i * i * 31 + 5 * i) % 113);
  // A model's batchers share its cache, so each gets a model of its own.
  const wide = smallConfig({ max_position_embeddings: 256 });
  const open = async (cacheRows: number, slots: number) => {
    const options = { precision: "f32", positions: 256 } as const;
    const loaded = await loadModel(gpu, randomCheckpoint(wide, 3), options);
    return new Batcher(loaded, { cacheRows, slots });
  };
  const ask = (batcher: Batcher, prompt: number[], rest: Partial<GenerationRequest> = {}) => {
    const told: DrawnToken[] = [];
    const onTokens = (tokens: readonly DrawnToken[]) => told.push(...tokens);
    return batcher.add({ ...request(1), prompt, topLogprobs: 3, onTokens, ...rest })
      .then((completion) => ({ ...completion, told }));
  };
  const fresh = async (prompt: number[]) => await ask(await open(256, 1), prompt);
  const batcher = await open(512, 4);
  const first = await ask(batcher, long);
  assert.equal(first.cachedTokens, 0);

  // The next turn; the same again; one that parts within a block; one that parts from the first token on.
  const turn = [...long, ...first.ids, 5, 6, 7];
  const parted = [...long.slice(0, 70), 9, 9, 9];
  const other = [1, ...long];
  const answers = await Promise.all([turn, long, parted, other].map((p) => ask(batcher, p)));
  assert.deepEqual(answers.map(({ cachedTokens }) => cachedTokens), [96, 96, 64, 0]);
  for (const [i, prompt] of [turn, long, parted, other].entries()) {
    const { ids, told } = await fresh(prompt);
    assert.deepEqual(answers[i].ids, ids, `prompt ${i}`);
    assert.deepEqual(answers[i].told, told, `log-probabilities of prompt ${i}`);
  }
  // A prompt that is nothing but known blocks still computes its last one.
  const whole = await ask(batcher, long.slice(0, 96));
  assert.equal(whole.cachedTokens, 64);
  assert.deepEqual(whole.told, (await fresh(long.slice(0, 96))).told);
});

Deno.test("prompts are forgotten where rows are needed, and never while others begin with them", async () => {
  const batcher = new Batcher(model, { cacheRows: 64, slots: 2 });
  const prompt = Array.from({ length: 40 }, (_, i) => (3 * i) % 113);
  const one = request(0, { prompt, maxNewTokens: 6 });
  const { ids } = await batcher.add(one);
  // 46 rows beside the 32 that are kept do not fit: the prompt makes room for itself.
  const again = await batcher.add(one);
  assert.deepEqual(again, { ids, cachedTokens: 0, finishReason: "length" });
  // 24 rows fit beside them, and the two of them begin with what is kept.
  const beginning = { prompt: [...prompt.slice(0, 35)], maxNewTokens: 2 };
  assert.equal((await batcher.add(request(0, { ...beginning, maxNewTokens: 1 }))).cachedTokens, 0);
  const roomy = new Batcher(model, { cacheRows: 160, slots: 2 });
  await roomy.add(one);
  const both = await Promise.all([
    roomy.add(request(0, beginning)),
    roomy.add(request(0, { ...beginning, prompt: prompt.slice(0, 36) })),
  ]);
  assert.deepEqual(both.map(({ cachedTokens }) => cachedTokens), [32, 32]);
  assert.equal(roomy.load.freeCacheRows, 160);
});

Deno.test("submits are sized by their own time, whatever others do on the thread between them", async () => {
  const turnMs = 250;
  const neighbour = setInterval(() => {
    for (const began = performance.now(); performance.now() - began < turnMs;);
  });
  const steps: number[] = [];
  const next = Decoder.prototype.next;
  Decoder.prototype.next = function (sequences, count, goesOn) {
    steps.push(count);
    return next.call(this, sequences, count, goesOn);
  };
  try {
    const batcher = new Batcher(model, { cacheRows: 64, slots: 1, submitMs: 0.8 * turnMs });
    await batcher.add(request(3, { maxNewTokens: 20 }));
  } finally {
    Decoder.prototype.next = next;
    clearInterval(neighbour);
  }
  // The first is one step long, for nothing is known of their time.
  assert.equal(steps[0], 1);
  assert.ok(steps.slice(1).some((count) => count > 1), `${steps}`);
});

Deno.test("a submit is cut short where somebody leaves, or comes and has a place", async () => {
  const taken: number[] = [];
  const next = Decoder.prototype.next;
  let inTheMiddle = () => {};
  Decoder.prototype.next = async function (sequences, steps, goesOn) {
    this.stepMs = 10; // one step lasts as long as the turn of others
    const drawn = await next.call(this, sequences, steps, () => {
      inTheMiddle();
      return goesOn!();
    });
    taken.push(drawn[0].length);
    return drawn;
  };
  const answered = async (slots: number, event: (batcher: Batcher) => unknown) => {
    const batcher = new Batcher(model, { cacheRows: 160, slots, submitMs: 1000 });
    let other: unknown;
    taken.length = 0;
    inTheMiddle = () => {
      inTheMiddle = () => {};
      other = event(batcher);
    };
    await batcher.add(request(0, { maxNewTokens: 12, signal: left.signal }));
    const counts = [...taken];
    await other;
    return counts;
  };
  let left = new AbortController();
  try {
    // The first token comes from the prompt; one step is taken to learn how long it lasts.
    assert.deepEqual(await answered(2, () => {}), [1, 10]);
    const come = (batcher: Batcher) => batcher.add(request(1, { maxNewTokens: 20 }));
    assert.deepEqual((await answered(2, come)).slice(0, 2), [1, 1]);
    assert.deepEqual((await answered(1, come)).slice(0, 2), [1, 10]);
    left = new AbortController();
    assert.deepEqual(await answered(2, () => left.abort()), [1, 1]);
  } finally {
    Decoder.prototype.next = next;
  }
});
