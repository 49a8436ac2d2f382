/** What is wrong with the input is said in one line, with exit code 2, and nothing is left half written. */
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { parquetFile } from "../data/parquet_files.ts";
import { randomPairs } from "../model/small_models.ts";
import { byteTokenizerFiles } from "../text/byte_tokenizer.ts";
import { gpu } from "../kernels/harness.ts";
import { inTemporaryDirectory, run, runOk } from "./command.ts";
import { writeModel, writePairs } from "./inputs.ts";
import { unless } from "../skip.ts";

/** A directory with a model and pairs, and the flags of a run on them. */
interface Inputs {
  directory: string;
  model: string;
  pairs: string;
  output: string;
  flags: (string | number)[];
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

async function withInputs(body: (inputs: Inputs) => Promise<void>): Promise<void> {
  await inTemporaryDirectory(async (directory) => {
    const model = await writeModel(`${directory}/model`);
    const pairs = await writePairs(`${directory}/pairs.jsonl`, randomPairs(1, 4, 113));
    const output = `${directory}/run`;
    const flags = ["--model", model, "--dataset", pairs, "--output", output, "--max-length", 64];
    await body({ directory, model, pairs, output, flags });
  });
}

/** Checks that a command refuses in one line that matches, and leaves no run directory. */
async function refused(
  { output }: Pick<Inputs, "output">,
  expected: RegExp,
  command: string,
  ...flags: (string | number)[]
): Promise<void> {
  const { code, stdout, stderr } = await run(command, ...flags);
  assert.equal(code, 2, stderr);
  assert.equal(stdout, "");
  assert.match(stderr, /^error: [^\n]+\n$/);
  assert.match(stderr, expected);
  assert.equal(await exists(output), false, "a run directory is left");
}

/** Damages to the model directory, and what is said of them. */
const MODELS: Record<string, [damage: (model: string) => Promise<void>, expected: RegExp]> = {
  "no model directory": [
    (model) => Deno.remove(model, { recursive: true }),
    /Cannot open .*model: no such file or folder/,
  ],
  "missing safetensors": [
    (model) => Deno.remove(`${model}/model.safetensors`),
    /expected model\.safetensors, .* or pytorch_model\.bin, found config\.json/,
  ],
  "truncated safetensors": [
    (model) => Deno.truncate(`${model}/model.safetensors`, 10_000),
    /model\.safetensors as safetensors: expected .*, found .*damaged or incomplete/,
  ],
  "malformed safetensors": [
    async (model) => {
      const bytes = await Deno.readFile(`${model}/model.safetensors`);
      bytes[9] = 0x7d;
      await Deno.writeFile(`${model}/model.safetensors`, bytes);
    },
    /expected a header in JSON/,
  ],
  "tensor of the wrong shape": [
    (model) => editConfig(model, { intermediate_size: 40 }),
    /mlp\.gate_proj\.weight": expected shape .*40.*, found .*44/,
  ],
  "missing tensor": [
    (model) => editConfig(model, { num_hidden_layers: 3 }),
    /"model\.layers\.2\..*": expected shape .*, found no such tensor/,
  ],
  "unsupported architecture": [
    (model) => editConfig(model, { architectures: ["GPT2LMHeadModel"] }),
    /expected "architectures" to contain one of LlamaForCausalLM, .*, found \["GPT2LMHeadModel"\]/,
  ],
  "unsupported option": [
    (model) => editConfig(model, { partial_rotary_factor: 0.5 }),
    /expected "partial_rotary_factor" to be 1 or absent, found 0\.5/,
  ],
  "NaN in weights": [
    async (model) => {
      const bytes = await Deno.readFile(`${model}/model.safetensors`);
      bytes.set([0, 0, 0xc0, 0x7f], bytes.length - 4);
      await Deno.writeFile(`${model}/model.safetensors`, bytes);
    },
    /"model\..*weight".*NaN/,
  ],
};

async function editConfig(model: string, fields: Record<string, unknown>): Promise<void> {
  const path = `${model}/config.json`;
  const config = JSON.parse(await Deno.readTextFile(path));
  await Deno.writeTextFile(path, JSON.stringify({ ...config, ...fields }));
}

for (const [name, [damage, expected]] of Object.entries(MODELS)) {
  Deno.test(`refused: ${name}`, () =>
    withInputs(async (inputs) => {
      await damage(inputs.model);
      await refused(inputs, expected, "train", ...inputs.flags);
    }));
}

const row = (fields: Record<string, unknown>) =>
  JSON.stringify({ prompt_ids: [1, 2], chosen_ids: [3], rejected_ids: [4], ...fields });

/** Second rows, and what is said of them. */
const ROWS: Record<string, [second: string, expected: RegExp]> = {
  "a row of another shape": [
    JSON.stringify({ prompt: "a", chosen: "b", rejected: "c" }),
    /pairs\.jsonl, line 2: expected rows of one shape \(token ids, as the first\), found text with prompt/,
  ],
  "half of a surrogate pair": [
    '{"prompt": "a", "chosen": "\\ud83d", "rejected": "c"}',
    /pairs\.jsonl, line 2: expected "chosen" to be Unicode text, found a lone surrogate/,
  ],
  "an escaped NUL": [
    '{"prompt": "a", "chosen": "b", "rejected": "c\\u0000"}',
    /pairs\.jsonl, line 2: expected "rejected" to be text, found a NUL after 1 characters/,
  ],
  "a line of 17 million characters": [
    " ".repeat(17 << 20),
    /pairs\.jsonl, line 2: expected at most 16777216 characters, found more/,
  ],
  "broken JSON": ['{"prompt_ids": [1', /pairs\.jsonl, line 2: /],
  "a row without completion": [
    JSON.stringify({ prompt_ids: [1], chosen_ids: [2] }),
    /pairs\.jsonl, line 2: .*rejected_ids/,
  ],
  "a token beyond the vocabulary": [
    row({ chosen_ids: [113] }),
    /pairs\.jsonl, line 2: expected token ids from 0 to 112, found 113/,
  ],
  "text without a tokenizer": [
    JSON.stringify({ prompt: "a", chosen: "b", rejected: "c" }),
    /pairs\.jsonl, line 2/,
  ],
};

for (const [name, [second, expected]] of Object.entries(ROWS)) {
  Deno.test(`refused: ${name}`, () =>
    withInputs(async (inputs) => {
      await Deno.writeTextFile(inputs.pairs, `${row({})}\n${second}\n${row({})}\n`);
      await refused(inputs, expected, "train", ...inputs.flags);
      await refused(inputs, expected, "score", ...inputs.flags.slice(0, 4));
    }));
}

/** Files that are no datasets, and what is said of them. */
const FILES: Record<string, [content: Uint8Array<ArrayBuffer>, expected: RegExp]> = {
  "cut.jsonl.gz": [
    Uint8Array.from(
      gzipSync("\n".repeat(99)).subarray(0, -9),
    ),
    /cut\.jsonl\.gz: expected gzip, found damaged data/,
  ],
  "bomb.jsonl.gz": [
    Uint8Array.from(gzipSync(new Uint8Array(70 << 20).fill(0x0a))),
    /bomb\.jsonl\.gz: expected it to inflate at most 200 times/,
  ],
  "other.parquet": [
    parquetFile([{ question: "a", answer: "b" }]),
    /other\.parquet, row 1: expected "chosen" and "rejected"/,
  ],
  "cut.parquet": [
    parquetFile([{ prompt: "a", chosen: "b", rejected: "c" }]).slice(0, -20),
    /cut\.parquet: expected Parquet, found damaged data/,
  ],
};

for (const [name, [content, expected]] of Object.entries(FILES)) {
  Deno.test(`refused: ${name}`, () =>
    withInputs(async (inputs) => {
      const path = `${inputs.directory}/${name}`;
      await Deno.writeFile(path, content);
      const { model, output } = inputs;
      await refused(
        inputs,
        expected,
        "train",
        "--model",
        model,
        "--dataset",
        path,
        "--output",
        output,
      );
      const kept = `${inputs.directory}/kept.jsonl`;
      await refused(inputs, expected, "filter", "--dataset", path, "--output", kept);
      const names = await Array.fromAsync(Deno.readDir(inputs.directory), ({ name }) => name);
      assert.deepEqual(names.sort(), ["model", "pairs.jsonl", name].sort(), "a file is left");
    }));
}

Deno.test("refused: margins and weights that are none, or that the loss has no use for", () =>
  withInputs(async (inputs) => {
    const refusing = async (
      rows: Record<string, unknown>[],
      expected: RegExp,
      ...flags: (string | number)[]
    ) => {
      await Deno.writeTextFile(inputs.pairs, rows.map((fields) => `${row(fields)}\n`).join(""));
      await refused(inputs, expected, "train", ...inputs.flags, ...flags);
    };
    await refusing([{ weight: 0 }, { weight: 0 }], /expected a weight above 0, found none in 2/);
    await refusing([{}, { weight: -1 }], /line 2: expected "weight" .* at least 0, found -1/);
    await refusing([{ margin: "x" }], /line 1: expected "margin" to be a number, found "x"/);
    const simpo = ["--loss-type", "simpo"];
    await refusing(
      [{}, { margin: 1 }],
      /line 2: expected no margin with --loss-type simpo/,
      ...simpo,
    );
    const aot = ["--loss-type", "sigmoid,aot"];
    await refusing(
      [{ weight: 1 }],
      /no weight with --loss-type sigmoid,aot, .*: --weight-column none/,
      ...aot,
    );
    const streaming = ["--streaming", "--max-steps", 2, "--loss-type", "simpo"];
    await refusing([{ margin: 1 }], /line 1: expected no margin/, ...streaming);
    await refusing([{}], /a column "gap" for --margin-column/, "--margin-column", "gap");
  }));

Deno.test("refused: single answers for a loss of pairs and the other way round, and what answers alone cannot do", () =>
  withInputs(async (inputs) => {
    const answer = { input_ids: [1, 2, 3], prompt_length: 2, label: true };
    const text = { prompt: "a", completion: "b", label: false };
    const write = (...rows: Record<string, unknown>[]) =>
      Deno.writeTextFile(inputs.pairs, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const train = (expected: RegExp, ...flags: (string | number)[]) =>
      refused(inputs, expected, "train", ...inputs.flags, ...flags);
    const kto = ["--loss-type", "kto"];
    await write(text);
    await train(
      /line 1: expected "chosen" and "rejected", found an answer with a "label": .* --loss-type kto/,
    );
    await write(answer);
    await train(/line 1: expected "chosen" and "rejected", found an answer with a "label"/);
    await write(answer, { input_ids: [1, 2], prompt_length: 1 });
    await train(
      /line 2: expected "label" \(true or false\) .* found input_ids, prompt_length/,
      ...kto,
    );
    await write(answer, JSON.parse(row({})));
    await train(/line 2: expected rows of one shape \(token ids, each answer with a label/, ...kto);
    await write(answer, { ...answer, label: "yes" });
    await train(/line 2: expected "label" to be true or false/, ...kto);
    await write(answer, { ...answer, margin: 1 });
    await train(/line 2: expected no margin with --loss-type kto/, ...kto);
    await write(answer);
    await train(/--loss-type kto alone.*found kto,sft/, "--loss-type", "kto,sft");
    await train(/--per-device-train-batch-size of at least 2/, ...kto, "--batch-size", 1);
    await train(/line 1: expected a pair, .*: use --filter none/, ...kto, "--filter", "strong");
    await train(/no --use-weighting with --loss-type kto/, ...kto, "--use-weighting");
    await train(/--undesirable-weight only with --loss-type kto or apo/, "--undesirable-weight", 2);
    const none = ["--desirable-weight", 0, "--undesirable-weight", 0];
    await train(
      /--desirable-weight or --undesirable-weight above 0, found 0 and 0/,
      ...kto,
      ...none,
    );
  }));

Deno.test("refused: rows whose ranks are all alike", () =>
  withInputs(async (inputs) => {
    const tied = { prompt: "q", generations: ["a", "b", "c"], ranks: [1, 1, 1] };
    await Deno.writeTextFile(inputs.pairs, `${JSON.stringify(tied)}\n`);
    const flags = [...inputs.flags, "--ranked-pairs", "adjacent"];
    await refused(inputs, /1 prefer no answer/, "train", ...flags);
  }));

Deno.test("refused: options that do not exist or do not fit the model", () =>
  withInputs(async (inputs) => {
    const train = (expected: RegExp, ...flags: (string | number)[]) =>
      refused(inputs, expected, "train", ...inputs.flags, ...flags);
    await train(/found --learning-rat: did you mean --learning-rate\?/, "--learning-rat", 1);
    await train(/--loss-type .*sigmoid, robust, ipo, hinge.*"dpo"/, "--loss-type", "dpo");
    await train(/--train-layers of at most 2.*found 3/, "--train-layers", 3);
    await train(/frozen/, "--head", "frozen");
    await train(/--max-steps of at least 1, or -1 for none, found 0/, "--max-steps", 0);
    const other = await writeModel(`${inputs.directory}/other`, { vocab_size: 99 });
    await train(/--reference with the model's vocabulary of 113.*found 99/, "--reference", other);
    const wider = await writeModel(`${inputs.directory}/wider`, { intermediate_size: 48 });
    await train(
      /--reference with the weights of the model.*found layers\.0\.gate_up_proj \(96, 48\)/,
      ...["--reference", wider, "--sync-ref-model"],
    );
  }));

Deno.test("prompts that fill the length are counted; a dataset of them alone is refused", () =>
  withInputs(async (inputs) => {
    const long = row({ prompt_ids: Array.from({ length: 64 }, () => 5) });
    await Deno.writeTextFile(inputs.pairs, `${long}\n${row({})}\n${long}\n`);
    const tooMany = /at most 50 % of its rows longer than 64 tokens, found 2 of 3/;
    await refused(inputs, tooMany, "train", ...inputs.flags);
    const { stderr } = await runOk("train", ...inputs.flags, "--max-truncated-share", 0.7);
    assert.match(stderr, /1 of 3 pairs, 2 dropped \(prompt fills the length\)/);
    await Deno.remove(inputs.output, { recursive: true });
    await Deno.writeTextFile(inputs.pairs, `${long}\n`);
    await refused(inputs, /found 1 rows, of which .* 1 a prompt of/, "train", ...inputs.flags);
  }));

Deno.test("refused: an output directory in use", () =>
  withInputs(async ({ output, flags }) => {
    await Deno.mkdir(output);
    await Deno.writeTextFile(`${output}/notes.txt`, "mine");
    const full = await run("train", ...flags);
    assert.equal(full.code, 2);
    assert.match(full.stderr, /Expected --output to be new or empty, found 1 files in/);
    const names = await Array.fromAsync(Deno.readDir(output), ({ name }) => name);
    assert.deepEqual(names, ["notes.txt"]);

    await Deno.remove(`${output}/notes.txt`);
    const lock = await Deno.open(`${output}/.lock`, { create: true, write: true });
    await lock.lock(true);
    const taken = await run("train", ...flags);
    assert.equal(taken.code, 2);
    assert.match(taken.stderr, /found another process writing to it/);
    lock.close();
  }));

Deno.test("refused before the first step: a tensor beyond the adapter's limit", () =>
  withInputs(async (inputs) => {
    await editConfig(inputs.model, { vocab_size: 40_000_000 });
    for (const [name, text] of Object.entries(byteTokenizerFiles(["a b"]))) {
      await Deno.writeTextFile(`${inputs.model}/${name}`, text);
    }
    await Deno.writeTextFile(inputs.pairs, '{"text": "a b"}');
    const expected = /Cannot allocate "embed_tokens" \(40000000, 48\).*at most \d+ MiB/;
    await refused(inputs, expected, "sft", ...inputs.flags, "--random-weights");
  }));

Deno.test("refused before the first step: a batch beyond the adapter's limit, with what would fit", () =>
  withInputs(async (inputs) => {
    const intermediate = 200_000;
    const fields = { hidden_size: 8, head_dim: 8, num_hidden_layers: 1 };
    await writeModel(inputs.model, { ...fields, intermediate_size: intermediate });
    const { maxBufferSize, maxStorageBufferBindingSize } = gpu.device.limits;
    const limit = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    const count = Math.ceil(limit / (8 * intermediate) / 3) + 1;
    const rows = Array.from({ length: count }, () => row({ chosen_ids: [5, 6] })).join("\n");
    await Deno.writeTextFile(inputs.pairs, rows);
    const expected = /batches of at most \d+ tokens.*--per-device-train-batch-size \d+ fits/;
    await refused(inputs, expected, "train", ...inputs.flags, "--batch-size", count);
    const texts = Array.from({ length: count }, () => '{"input_ids": [1, 2, 3, 4, 5]}').join("\n");
    await Deno.writeTextFile(inputs.pairs, texts);
    await refused(inputs, expected, "sft", ...inputs.flags, "--batch-size", count);
  }));

/** Mounts a small file system, which takes root on Linux; null where that is not to be had. */
async function mountSmallDisk(path: string, size: string): Promise<AsyncDisposable | null> {
  await Deno.mkdir(path);
  const call = (command: string, ...args: string[]) =>
    new Deno.Command(command, { args, stdout: "null", stderr: "null" }).output();
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) return null;
  const mounted = await call("mount", "-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path);
  if (!mounted.success) return null;
  return { [Symbol.asyncDispose]: async () => void await call("umount", "-l", path) };
}

/** Writes until the disk is full. */
async function fill(path: string): Promise<void> {
  using file = await Deno.open(path, { create: true, write: true });
  try {
    while (await file.write(new Uint8Array(4096)) > 0);
  } catch (error) {
    assert.equal((error as { code?: string }).code, "ENOSPC");
  }
}

/** The files under a directory, by path. */
async function filesUnder(path: string): Promise<string[]> {
  const paths: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(path)) {
    if (isDirectory) {
      paths.push(...(await filesUnder(`${path}/${name}`)).map((f) => `${name}/${f}`));
    } else paths.push(name);
  }
  return paths;
}

let lackOfDisks: string | null = "only root on Linux can mount a small disk";
await inTemporaryDirectory(async (directory) => {
  await using mount = await mountSmallDisk(`${directory}/disk`, "256k");
  if (mount !== null) lackOfDisks = null;
});
Deno.test(
  unless(lackOfDisks, "a full disk is said, and no half of a model or checkpoint stays"),
  async () => {
    await withInputs(async ({ directory, model, pairs }) => {
      const disk = `${directory}/disk`;
      await using mount = await mountSmallDisk(disk, "256k");
      assert.ok(mount !== null);
      const train = async (...flags: (string | number)[]) => {
        const output = `${disk}/run`;
        const inputs = ["--model", model, "--dataset", pairs, "--max-length", 64];
        const { code, stderr } = await run("train", ...inputs, "--output", output, ...flags);
        assert.equal(code, 2, stderr);
        assert.match(stderr, /error: Cannot write .*: the disk is full; free some space/);
        const left = await filesUnder(output);
        await Deno.remove(output, { recursive: true });
        return left;
      };
      assert.deepEqual(await train("--save-steps", 1), ["begin.json", "metrics.jsonl"]);
      await Deno.writeFile(`${disk}/filler`, new Uint8Array(140_000));
      const adapters = ["--lora-r", 16, "--lora-target-modules", "all-linear", "--save-steps", 1];
      const accumulated = ["--batch-size", 1, "--gradient-accumulation-steps", 2];
      assert.deepEqual(await train(...adapters, ...accumulated), ["begin.json", "metrics.jsonl"]);
      assert.deepEqual(await train(), ["metrics.jsonl"]);
      await fill(`${disk}/rest`);
      assert.deepEqual(await train(), ["metrics.jsonl"], "of no length");
    });
  },
);
