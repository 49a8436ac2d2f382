import assert from "node:assert/strict";
import { COMMANDS, type OptionName, resolveOptions } from "../../src/config/resolve.ts";
import { OPTIONS } from "../../src/config/options.ts";
import { PRESETS } from "../../src/config/presets.ts";
import { parseValue, specOf } from "../../src/config/values.ts";
import { UserError } from "../../src/errors.ts";

const NOON = new Date("2026-11-22T12:00:00Z");
const NAMES = Object.keys(OPTIONS) as OptionName[];

function refuses(run: () => unknown, message: RegExp): void {
  assert.throws(run, (error: unknown) => {
    assert.ok(error instanceof UserError, String(error));
    assert.match(error.message, message);
    return true;
  });
}

Deno.test("every default and every preset value passes its own parser", () => {
  for (const name of NAMES) {
    const spec = specOf(name);
    for (const value of [spec.default, ...Object.values(spec.defaults ?? {})]) {
      assert.equal(parseValue(name, value, name), value);
    }
  }
  for (const preset of Object.values(PRESETS)) {
    for (const [name, value] of Object.entries(preset)) {
      assert.equal(parseValue(name as OptionName, value, name), value);
    }
  }
});

Deno.test("every command resolves with nothing given", () => {
  for (const command of COMMANDS) {
    const flags: [string, string][] = command === "generate" ? [["prompt", "Hi"]] : [];
    const { options, origins } = resolveOptions(command, { flags }, NOON);
    assert.deepEqual(Object.keys(options), Object.keys(origins));
    assert.ok(options.config === null && options.json === false);
  }
});

Deno.test("flags go before the file, the file before the preset, the preset before defaults", () => {
  const { options, origins } = resolveOptions("train", {
    flags: [["beta", "0.3"]],
    file: { name: "c.json", content: { preset: "seed", beta: 0.2, learning_rate: "3e-4" } },
  });
  assert.equal(options.beta, 0.3);
  assert.deepEqual(origins.beta, { source: "flag" });
  assert.equal(options.learningRate, 3e-4);
  assert.deepEqual(origins.learningRate, { source: "file", detail: "c.json" });
  assert.equal(options.logprob, "mean");
  assert.deepEqual(origins.logprob, { source: "preset", detail: "seed" });
  assert.equal(options.adamBeta1, 0.9);
  assert.deepEqual(origins.adamBeta1, { source: "default" });
});

Deno.test("the presets are the recipes of their sources", () => {
  const seed = resolveOptions("train", { flags: [["preset", "seed"]] }).options;
  assert.deepEqual(
    [seed.beta, seed.logprob, seed.score, seed.learningRate, seed.weightDecay, seed.maxGradNorm],
    [0.8, "mean", "all", 1e-4, 0.01, 0],
  );
  assert.deepEqual(
    [seed.trainLayers, seed.head, seed.trainFinalNorm, seed.trainEmbeddings, seed.decayNorms],
    ["last-sixth", "untied", false, false, true],
  );
  const own = resolveOptions("train", { flags: [["preset", "seed"], ["dataset", "d"]] }).options;
  assert.deepEqual([own.filter, own.maxPairs, own.minChars], ["strong", 1000, 60]);
  const trl = resolveOptions("train", { flags: [["preset", "trl"]] }).options;
  assert.deepEqual([trl.filter, trl.maxPairs], ["none", 0]);
  assert.deepEqual(
    [trl.beta, trl.logprob, trl.score, trl.learningRate, trl.lrSchedulerType, trl.numTrainEpochs],
    [0.1, "sum", "completion", 1e-6, "linear", 3],
  );
  const standard = resolveOptions("train", { flags: [["preset", "standard"]] }).options;
  assert.deepEqual(
    [standard.beta, standard.logprob, standard.lrSchedulerType, standard.warmupSteps],
    [0.1, "sum", "cosine", 0.1],
  );
});

Deno.test("names are taken in kebab, snake and camel case, and by alias", () => {
  for (const spelling of ["num-train-epochs", "num_train_epochs", "numTrainEpochs", "epochs"]) {
    assert.equal(
      resolveOptions("train", { flags: [[spelling, "2.5"]] }).options.numTrainEpochs,
      2.5,
    );
  }
});

Deno.test("unknown, foreign and doubled options are refused", () => {
  const train = (...flags: [string, unknown][]) => () => resolveOptions("train", { flags });
  refuses(train(["lerning-rate", "1"]), /found --lerning-rate: did you mean --learning-rate\?/);
  refuses(train(["top-k", "1"]), /found --top-k: that is an option of generate/);
  refuses(train(["__proto__", "1"]), /found --__proto__: did you mean/);
  refuses(train(["beta", "1"], ["beta", "2"]), /^Expected --beta once, found it twice$/);
  refuses(train(["epochs", "1"], ["num_train_epochs", "2"]), /^Expected --num-train-epochs once/);
  const file = (content: unknown) => () =>
    resolveOptions("train", { file: { name: "c.json", content } });
  refuses(file({ betta: 1 }), /found "betta" in c\.json: did you mean --beta\?/);
  refuses(file({ maxSteps: 1, max_steps: 1 }), /once, found it in two spellings/);
  refuses(file({ config: "d.json" }), /no configuration file within c\.json/);
  refuses(file([1]), /^Expected c\.json to hold options by name/);
});

Deno.test("values of the wrong kind or out of bounds are refused", () => {
  const wrong: [string, unknown, RegExp][] = [
    ["beta", "0", /--beta to be a number above 0, found "0"/],
    ["beta", "", /found ""/],
    ["beta", undefined, /found nothing/],
    ["beta", null, /found null/],
    ["beta", "1e999", /found "1e999"/],
    ["beta", "0x", /found "0x"/],
    ["beta", [1], /found \[1\]/],
    ["label-smoothing", "0.5", /at least 0 and below 0\.5/],
    ["max-steps", "1.5", /a whole number at least -1/],
    ["max-length", "1", /a whole number at least 2, found "1"/],
    ["seed", "4294967296", /at most 4294967295/],
    ["loss-type", "sigmod", /one of sigmoid, .*, found "sigmod": did you mean sigmoid\?/],
    ["train-layers", "some", /all or last-sixth or a whole number/],
    ["shuffle", "maybe", /true or false, found "maybe"/],
    ["model", "", /a text, found ""/],
    ["model", 3, /a text, found 3/],
  ];
  for (const [name, value, message] of wrong) {
    refuses(() => resolveOptions("train", { flags: [[name, value]] }), message);
  }
  for (const ids of ["", "1,,2", "1,-2", "1.5", "a"]) {
    refuses(
      () => resolveOptions("generate", { flags: [["prompt-ids", ids]] }),
      /separated by commas/,
    );
  }
});

Deno.test("values are read as their kind", () => {
  const { options } = resolveOptions("generate", {
    flags: [["prompt-ids", "1, 2,30"], ["ignore-eos", "True"]],
  });
  assert.deepEqual(options.promptIds, [1, 2, 30]);
  assert.equal(options.ignoreEos, true);
  const train =
    resolveOptions("train", { flags: [["max-steps", "-1"], ["train-layers", "2"]] }).options;
  assert.equal(train.maxSteps, -1);
  assert.equal(train.trainLayers, 2);
});

Deno.test("automatic choices say why", () => {
  const { options, origins } = resolveOptions("train", {}, NOON);
  assert.equal(options.learningRate, 5e-5);
  assert.match(OPTIONS.learningRate.help, /5e-5 for the shipped model/);
  assert.equal(options.evalDataset, "fixtures/pairs/eval.jsonl");
  assert.equal(options.output, "runs/train-20261122-120000");
  for (const name of ["learningRate", "evalDataset", "output"]) {
    assert.equal(origins[name].source, "automatic");
    assert.ok(origins[name].detail);
  }
  const seed = resolveOptions("train", { flags: [["preset", "seed"]] });
  assert.equal(seed.options.filter, "none", "the shipped pairs need no filter");
  assert.equal(seed.origins.filter.source, "automatic");
  const own = resolveOptions("train", { flags: [["model", "m"], ["dataset", "d.jsonl"]] }).options;
  assert.equal(own.learningRate, 1e-6);
  assert.equal(own.evalDataset, null);
});

Deno.test("with frozen layers the embedding and the head stay, unless the user says otherwise", () => {
  const top = resolveOptions("train", { flags: [["train-layers", "1"]] }).options;
  assert.deepEqual([top.trainEmbeddings, top.head, top.trainFinalNorm], [false, "frozen", true]);
  const own = resolveOptions("train", {
    flags: [["train-layers", "1"], ["head", "tied"], ["train-embeddings", true]],
  }).options;
  assert.deepEqual([own.trainEmbeddings, own.head], [true, "tied"]);
});

Deno.test("a resumed checkpoint's run directory is the output", () => {
  const { options } = resolveOptions("train", {
    flags: [["resume", "runs/a/checkpoints/step-5/"]],
  });
  assert.equal(options.output, "runs/a");
});

Deno.test("contradictions are refused", () => {
  const train = (...flags: [string, unknown][]) => () => resolveOptions("train", { flags });
  refuses(
    train(["loss-type", "ipo"], ["label-smoothing", "0.1"]),
    /--label-smoothing only with --loss-type sigmoid, robust, .*, found ipo/,
  );
  const both = ["loss-type", "sigmoid,sft"] as [string, unknown];
  refuses(train(both, ["loss-weights", "1"]), /as many --loss-weights as losses, 2, found 1/);
  refuses(train(both, ["loss-weights", "0,0"]), /one of --loss-weights above 0, found 0,0/);
  refuses(train(["loss-type", "sigmoid,ipo"]), /same kind of score, or --logprob, found ipo per/);
  train(["loss-type", "sigmoid,ipo"], ["logprob", "mean"])();
  refuses(
    train(["loss-type", "simpo"], ["reference", "m"]),
    /no --reference with --loss-type simpo, found m/,
  );
  train(["loss-type", "simpo,ipo"], ["reference", "m"])();
  const synced = ["sync-ref-model", true] as [string, unknown];
  refuses(
    train(["loss-type", "simpo"], synced),
    /no --sync-ref-model with --loss-type simpo, which does without a reference, found it/,
  );
  refuses(
    train(["reference", "m"], ["lora-r", "4"], synced),
    /no --reference with --sync-ref-model and LoRA, .*, found m/,
  );
  train(["loss-type", "simpo,ipo"], ["reference", "m"], synced)();
  refuses(train(["ref-model-mixup-alpha", "0.5"]), /only with --sync-ref-model, found a reference/);
  refuses(train(["ref-model-sync-steps", "8"]), /--ref-model-sync-steps only with --sync-ref-mod/);
  refuses(train(both, ["ld-alpha", "0.5"]), /--ld-alpha only with losses of gains .*, found sft/);
  for (const type of ["aot", "kto"]) {
    refuses(
      train(["loss-type", type], ["max-tokens-per-batch", "100"]),
      new RegExp(`no --max-tokens-per-batch with a loss of all pairs of a batch.*found ${type}`),
    );
  }
  refuses(
    train(["loss-type", "sigmoid,aot"], ["use-weighting", "true"]),
    /--use-weighting only with losses of one pair each, found aot/,
  );
  const forward = ["f-divergence-type", "forward_kl"] as [string, unknown];
  train(both, forward)();
  refuses(
    train(forward, ["loss-type", "hinge,apo_zero"]),
    /forward_kl only with sigmoid, .* and sft, found apo_zero/,
  );
  refuses(
    train(forward, ["loss-type", "ipo"]),
    /--logprob sum with --f-divergence-type forward_kl, found mean/,
  );
  refuses(
    train(forward, ["f-alpha-divergence-coef", "0.3"]),
    /coef only with --f-divergence-type alpha_divergence, found forward_kl/,
  );
  refuses(train(["discopop-tau", "0.1"]), /--discopop-tau only with .* discopop, found sigmoid/);
  train(["discopop-tau", "0.05"])();
  refuses(train(["loss-type", "exo_pair"]), /--label-smoothing above 0 with .* exo_pair, found 0/);
  refuses(
    train(["streaming", true], ["max-steps", "1"], ["dataset-num-proc", "2"]),
    /no --dataset-num-proc with --streaming, found 2/,
  );
  refuses(
    train(["optim", "lion_32bit"], ["adam-epsilon", "1e-6"]),
    /--adam-epsilon only with --optim adamw_torch or muon, found lion_32bit/,
  );
  refuses(
    train(["optim", "sgd"], ["adam-beta1", "0.8"]),
    /--adam-beta1 only with --optim adamw_torch or lion_32bit or muon, found sgd/,
  );
  refuses(train(["muon-momentum", "0.9"]), /--muon-momentum only with --optim muon, found adamw_/);
  refuses(
    train(["optim", "sgd"], ["muon-adjust-lr-fn", "original"]),
    /--muon-adjust-lr-fn only with --optim muon, found sgd/,
  );
  train(["optim", "muon"], ["muon-momentum", "0.9"], ["adam-epsilon", "1e-6"])();
  train(["optim", "lion_32bit"], ["adam-beta2", "0.99"])();
  train(["optim", "sgd"], ["adam-beta2", "0.999"])();
  refuses(train(["warmup-steps", "1.5"]), /whole, or a share below 1, found 1\.5/);
  refuses(train(["hub-model-id", "a/b"]), /--push-to-hub with --hub-model-id, found nothing/);
  resolveOptions("upload", { flags: [["hub-model-id", "a/b"]] });
  refuses(train(["save-total-limit", "1"]), /only with --save-steps/);
  refuses(train(["resume", "latest"]), /--resume with the --output directory/);
  refuses(train(["min-chars", "10"]), /--min-chars only with --filter strong, found no filter/);
  train(["min-chars", "10"], ["preset", "seed"], ["dataset", "d.jsonl"])();
  refuses(
    () => resolveOptions("generate", { flags: [["prompt", "a"], ["prompt-ids", "1"]] }),
    /found both/,
  );
  refuses(
    () => resolveOptions("generate", { flags: [["chat", true], ["prompt-ids", "1"]] }),
    /--chat only with --prompt/,
  );
});

Deno.test("several losses and their weights are lists, or texts with commas", () => {
  const both = { lossType: "sigmoid,sft", lossWeights: [1, 0.5] };
  const content = { loss_type: ["sigmoid", "sft"], loss_weights: [1, 0.5] };
  const { options: read } = resolveOptions("train", { file: { name: "run.json", content } });
  const flags: [string, string][] = [["loss-type", "sigmoid, sft"], ["loss-weights", "1,0.5"]];
  const { options: given } = resolveOptions("train", { flags });
  for (const { lossType, lossWeights } of [read, given]) {
    assert.deepEqual({ lossType, lossWeights }, both);
  }
  const refused: [string, unknown, RegExp][] = [
    ["loss-type", [], /to be one of sigmoid, .*, or several with commas, each once, found \[\]$/],
    ["loss-type", "sft,sft", /each once, found "sft,sft"$/],
    ["loss-type", ["sft", "hing"], /found \["sft","hing"\]: did you mean hinge\?/],
    ["loss-weights", "1,-1", /to be numbers of at least 0 separated by commas, found "1,-1"/],
    ["loss-weights", [1, null], /numbers of at least 0/],
  ];
  for (const [name, value, message] of refused) {
    refuses(() => resolveOptions("train", { flags: [[name, value]] }), message);
  }
});

Deno.test("ipo is per token, as TRL's is, unless the user says otherwise", () => {
  const presets = [[], ["trl"], ["standard"], ["seed"]];
  for (const command of ["train", "eval"] as const) {
    for (const [preset] of presets) {
      const flags: [string, string][] = [["loss-type", "ipo"]];
      if (preset) flags.push(["preset", preset]);
      const { options, origins } = resolveOptions(command, { flags });
      assert.equal(options.logprob, "mean", preset);
      const origin = { source: "automatic", detail: "TRL's ipo is per token" };
      if (preset !== "seed") assert.deepEqual(origins.logprob, origin);
      const sums = resolveOptions(command, { flags: [...flags, ["logprob", "sum"]] });
      assert.equal(sums.options.logprob, "sum");
    }
    assert.equal(resolveOptions(command).options.logprob, "sum");
  }
});

Deno.test("held-out sets: one as it is written, several by names, from flags, files and requests", () => {
  const parse = (given: Parameters<typeof resolveOptions>[1]) =>
    resolveOptions("train", given).options.evalDataset;
  const file = (value: unknown) =>
    parse({ file: { name: "x.yaml", content: { eval_dataset: value } } });
  assert.equal(parse({ flags: [["eval-dataset", "a/x.jsonl,b.jsonl"]] }), "a/x.jsonl,b.jsonl");
  assert.deepEqual(
    parse({
      flags: [["eval-dataset", "math=a/x.jsonl"], ["eval-dataset", "org/chat.test:test[:9]"]],
    }),
    { math: "a/x.jsonl", chat: "org/chat.test:test[:9]" },
  );
  assert.deepEqual(parse({ flags: [["eval-dataset", "math=a.jsonl"]] }), { math: "a.jsonl" });
  assert.deepEqual(file({ math: "a.jsonl", chat: "b.jsonl" }), {
    math: "a.jsonl",
    chat: "b.jsonl",
  });
  assert.deepEqual(file(["a.jsonl", "b.jsonl"]), { a: "a.jsonl", b: "b.jsonl" });
  assert.equal(file(["a.jsonl"]), "a.jsonl");
  for (const wrong of [["a/x.jsonl", "b/x.jsonl"], { "a b": "x" }, { a: 1 }, [], 5, "", {}]) {
    assert.throws(
      () => file(wrong),
      /a dataset, or several with a name each/,
      JSON.stringify(wrong),
    );
  }
  assert.throws(() => file({ filtered: "a", b: "b" }), /do not end in filtered.*found filtered/);
});
