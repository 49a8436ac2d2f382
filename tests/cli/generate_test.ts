import assert from "node:assert/strict";
import type { Command } from "../../src/config/resolve.ts";
import { main } from "../../src/cli/main.ts";
import type { Checkpoint } from "../../src/model/load.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { saveModel } from "../../src/model/save.ts";
import { checkpointTensors } from "../../src/model/params.ts";
import { createDirectory, openDirectory } from "../../src/platform/files.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { inTemporaryDirectory, run, runOk, runWith } from "../e2e/command.ts";
import { randomCheckpoint, smallConfig, tensorOf } from "../model/small_models.ts";
import { MemoryInput } from "./input.ts";
import { MemoryOutput } from "./output.ts";

const tokenizer = (await loadTokenizer(await openDirectory("fixtures/model")))!;
const EOS = tokenizer.eosTokenId!;

/** A random model that knows the words of the shipped one. */
async function writeModel(
  path: string,
  seed: number,
  { withTokenizer = true, checkpointOf = randomCheckpoint } = {},
): Promise<string> {
  const directory = await createDirectory(path);
  const config = smallConfig({ vocab_size: tokenizer.vocabSize, eos_token_id: EOS });
  const checkpoint = checkpointOf(config, seed);
  const tensors = await Promise.all(
    checkpointTensors(config).map(async ({ name, shape }) => {
      return { name, shape, data: await tensorOf(checkpoint, name) };
    }),
  );
  await saveModel(directory, config, tensors, { tieWordEmbeddings: true });
  if (withTokenizer) {
    for (const file of ["tokenizer.json", "tokenizer_config.json"]) {
      await Deno.copyFile(`fixtures/model/${file}`, `${path}/${file}`);
    }
  }
  return path;
}

const SHORT = ["--max-new-tokens", 5];
const VARIED = ["--temperature", "5"]; // greedily, a random model with tied embeddings says one thing over and over

Deno.test("generate answers a text, and says what the answer is made of", async () => {
  await inTemporaryDirectory(async (path) => {
    const model = await writeModel(`${path}/model`, 1);
    const flags = ["--model", model, "--prompt", "Who are you?", ...SHORT];
    const { text, ids } = JSON.parse((await runOk("generate", ...flags, "--json")).stdout);
    assert.equal(ids.length, 5);
    assert.equal(text, tokenizer.decode(ids));
    const plain = await runOk("generate", ...flags);
    assert.equal(plain.stdout, `${text}\n`);
    assert.match(plain.stderr, /^device .*\ngenerated +5 tokens \(length\), .* tokens\/s\n$/m);

    const raw = JSON.parse((await runOk("generate", ...flags, "--no-chat", "--json")).stdout);
    assert.notDeepEqual(raw.ids, ids, "the chat template makes a difference");
    const promptIds = tokenizer.encode("Who are you?").join();
    const byIds = ["--model", model, "--prompt-ids", promptIds, ...SHORT, "--json"];
    assert.deepEqual(JSON.parse((await runOk("generate", ...byIds)).stdout), raw);
  });
});

Deno.test("generate streams the same text to a terminal", async () => {
  await inTemporaryDirectory(async (path) => {
    const model = await writeModel(`${path}/model`, 1);
    const flags = [
      "--model",
      model,
      "--prompt",
      "Who are you?",
      "--max-new-tokens",
      "30",
      ...VARIED,
    ];
    const { text } = JSON.parse((await runOk("generate", ...flags, "--json")).stdout);
    const terminal = new MemoryOutput(80);
    const words: [Command, ...string[]] = ["generate", "--precision", "f32", ...flags];
    assert.equal(await main(words, terminal, new MemoryOutput()), 0);
    // deno-lint-ignore no-control-regex -- a random model writes control characters; a terminal must not get them
    assert.equal(terminal.text, `${text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "\ufffd")}\n`);
  });
});

Deno.test("generate compares two models side by side", async () => {
  await inTemporaryDirectory(async (path) => {
    const policy = await writeModel(`${path}/policy`, 1);
    const reference = await writeModel(`${path}/reference`, 2);
    const ask = async (model: string, ...flags: (string | number)[]) =>
      (await runOk("generate", "--model", model, "--prompt", "Hello", ...SHORT, ...flags)).stdout;
    const both = JSON.parse(await ask(policy, "--compare", reference, "--json"));
    assert.deepEqual(both, {
      policy: JSON.parse(await ask(policy, "--json")),
      reference: JSON.parse(await ask(reference, "--json")),
    });
    const text = await ask(policy, "--compare", reference);
    assert.ok(text.startsWith("policy     "), text);
    assert.match(text, /\nreference +/);
  });
});

Deno.test("generate stops at the end token, which is no part of the text", async () => {
  await inTemporaryDirectory(async (path) => {
    const model = await writeModel(`${path}/model`, 1);
    const free = ["--model", model, "--prompt", "Hello", ...SHORT, ...VARIED, "--json"];
    const { ids } = JSON.parse((await runOk("generate", ...free, "--ignore-eos")).stdout);
    const end = ids.findIndex((id: number) => id !== ids[0]);
    assert.ok(end > 0, `expected two different tokens, found ${ids}`);
    const config = JSON.parse(await Deno.readTextFile(`${model}/config.json`));
    await Deno.writeTextFile(
      `${model}/config.json`,
      JSON.stringify({ ...config, eos_token_id: [EOS, ids[end]] }),
    );
    const stopped = JSON.parse((await runOk("generate", ...free)).stdout);
    assert.deepEqual(stopped, {
      text: tokenizer.decode(ids.slice(0, end)),
      ids: ids.slice(0, end + 1),
      finish_reason: "stop",
    });
  });
});

Deno.test("generate works without a tokenizer, on ids", async () => {
  await inTemporaryDirectory(async (path) => {
    const model = await writeModel(`${path}/model`, 1, { withTokenizer: false });
    const flags = ["--model", model, "--prompt-ids", "4,5,6", ...SHORT];
    const { text, ids } = JSON.parse((await runOk("generate", ...flags, "--json")).stdout);
    assert.equal(text, null);
    assert.equal((await runOk("generate", ...flags)).stdout, `${ids.join()}\n`);
    const { stdout } = await runOk("generate", ...flags, "--probabilities", "--temperature", 1);
    assert.match(stdout, /^(0\.\d{4} {2} +\d+\n){20}and 492 less likely ones\n$/);
  });
});

Deno.test("generate refuses what it cannot answer", async () => {
  await inTemporaryDirectory(async (path) => {
    const model = await writeModel(`${path}/model`, 1);
    const mute = await writeModel(`${path}/mute`, 1, { withTokenizer: false });
    await writeModel(`${path}/plain`, 1);
    await Deno.remove(`${path}/plain/tokenizer_config.json`);
    const refuses = async (message: RegExp, ...flags: (string | number)[]) => {
      const { code, stdout, stderr } = await run("generate", ...flags);
      assert.equal(code, 2, stderr);
      assert.equal(stdout, "");
      assert.match(stderr, message);
    };
    await refuses(/found none: use --prompt-ids/, "--model", mute, "--prompt", "a");
    await refuses(
      /found none: use --no-chat/,
      "--model",
      `${path}/plain`,
      "--prompt",
      "a",
      "--chat",
    );
    await refuses(/from 0 to 511, .* found 512/, "--model", model, "--prompt-ids", "512");
    await refuses(/--prompt to be a text, found ""/, "--model", model, "--prompt", "");
    await refuses(/at most 64 positions/, "--model", model, "--prompt", "a ".repeat(64));
    await refuses(/none-here/, "--model", `${path}/none-here`, "--prompt", "a");
  });
});

Deno.test("generate says so where a model's numbers are not finite, and prints no token", async () => {
  await inTemporaryDirectory(async (path) => {
    // Products of gate and up beyond f32.
    const checkpointOf = (config: ModelConfig, seed: number): Checkpoint => {
      const { read } = randomCheckpoint(config, seed);
      return {
        config,
        async *read(name) {
          const factor = /gate_proj|up_proj/.test(name) ? 1e25 : 1;
          for await (const data of read(name)) yield data.map((weight) => factor * weight);
        },
      };
    };
    const model = await writeModel(`${path}/model`, 1, { checkpointOf });
    for (const flags of [["--temperature", "0"], ["--temperature", "1"], ["--probabilities"]]) {
      const given = ["--model", model, "--prompt", "Who are you?", ...SHORT, "--json", ...flags];
      const { code, stdout, stderr } = await run("generate", ...given);
      assert.equal(code, 2, stderr);
      assert.equal(stdout, "");
      assert.match(
        stderr,
        /error: Expected finite scores for token 1 of the answer, .* take another model/,
      );
    }
  });
});

Deno.test("generate --adapter list needs no prompt", async () => {
  const { stdout } = await runOk("generate", "--adapter", "list");
  assert.match(stdout, /^0: .+\n/);
});

Deno.test("generate takes a prompt through a pipe", async () => {
  const flags = [...SHORT, "--json"];
  const piped = await runWith(new MemoryInput(["What is", "for dinner?"]), "generate", ...flags);
  assert.equal(piped.code, 0, piped.stderr);
  const given = await runOk("generate", "--prompt", "What is\nfor dinner?", ...flags);
  assert.equal(piped.stdout, given.stdout);
  const nothing = await run("generate");
  assert.equal(nothing.code, 2);
  assert.match(nothing.stderr, /a text on standard input, found none/);
});

Deno.test("generate converses at a terminal: it remembers, begins anew, and shows two models", async () => {
  const question = "What should I feed a quazzit?";
  const talk = async (lines: string[], ...flags: string[]) => {
    const input = new MemoryInput(lines, true);
    const { code, stdout, stderr } = await runWith(input, "generate", ...flags, ...SHORT);
    assert.equal(code, 0, stderr);
    return stdout.trimEnd().split("\n");
  };
  const [alone] = await talk([question]);
  const [first, second] = await talk([question, question]);
  assert.equal(first, alone);
  const [, anew] = await talk([question, "", question]);
  assert.equal(anew, alone, "an empty line forgets");
  const ids = (text: string) => tokenizer.encode(text);
  const asked = `<|im_start|>user\n${question}<|im_end|>\n<|im_start|>assistant\n`;
  const history = ids(`${asked}${first}<|im_end|>\n${asked}`).join();
  const prompt = ["--prompt-ids", history, ...SHORT, "--json"];
  assert.equal(second, JSON.parse((await runOk("generate", ...prompt)).stdout).text);
  const both = await talk([question], "--compare", "fixtures/model");
  assert.deepEqual(both, [`policy: ${alone}`, `reference: ${alone}`]);

  const json = await runWith(new MemoryInput([question], true), "generate", "--json");
  assert.equal(json.code, 2);
  assert.match(json.stderr, /Expected --prompt with --json/);
  const raw = await runWith(new MemoryInput([question], true), "generate", "--no-chat");
  assert.match(raw.stderr, /found fixtures\/model with --no-chat: use --prompt/);
});

Deno.test("a conversation that outgrows the model forgets its oldest messages, and says so", async () => {
  const lines = Array.from({ length: 24 }, () => "What should I feed a quazzit?");
  const { stderr, stdout } = await runWith(new MemoryInput(lines, true), "generate", ...SHORT);
  assert.match(stderr, /\(2 oldest messages forgotten, for want of room\)/);
  assert.equal(stdout.trimEnd().split("\n").length, lines.length);
});
