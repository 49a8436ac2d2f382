import assert from "node:assert/strict";
import { openModel, saveModel } from "../../src/formats/model_directory.ts";
import type { SavedDtype } from "../../src/formats/safetensors.ts";
import { parseLlamaConfig } from "../../src/model/config.ts";
import { checkpointTensors } from "../../src/model/params.ts";
import { ropeFrequencies } from "../../src/model/rope_frequencies.ts";
import { sha256 } from "../../src/platform/checkpoint_storage.ts";
import { createDirectory } from "../../src/platform/files.ts";
import { renderChat } from "../../src/text/chat.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { MemoryDirectory } from "../formats/memory_directory.ts";
import { byteTokenizerFiles } from "../text/byte_tokenizer.ts";

const base = {
  hidden_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 3,
  num_key_value_heads: 1,
  intermediate_size: 20,
  vocab_size: 111,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  bos_token_id: 0,
  eos_token_id: 0,
};
const llama3 = {
  rope_type: "llama3",
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 32,
};

/** Models as they are saved, one per way of saving that matters. */
const cases: { tied: boolean; dtype: SavedDtype; fields: Record<string, unknown> }[] = [
  { tied: true, dtype: "F32", fields: {} },
  { tied: false, dtype: "BF16", fields: { rope_scaling: { rope_type: "linear", factor: 2 } } },
  { tied: false, dtype: "F16", fields: { rope_scaling: llama3, rope_theta: 5e5, head_dim: 24 } },
];
const texts = ["", "ab a1b\n  22", "<|im_start|>a<|im_end|>"];
const chats = [[{ role: "user", content: "a?" }, { role: "assistant", content: "b" }]];

/** Asks transformers about model directories; a string says why it cannot be asked. */
async function askTransformers(directories: string[]): Promise<Record<string, unknown>[] | string> {
  const script = new URL("transformers_peer.py", import.meta.url).pathname;
  const environment = { HF_HUB_OFFLINE: "1", CUDA_VISIBLE_DEVICES: "" };
  const command = new Deno.Command("python3", {
    args: [script],
    env: environment,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  });
  let process;
  try {
    process = command.spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "no python3";
    throw error;
  }
  const models = directories.map((directory) => ({ directory, texts, chats, sequences: [] }));
  const [output] = await Promise.all([
    process.output(),
    new Blob([JSON.stringify({ models })]).stream().pipeTo(process.stdin).catch(() => {}),
  ]);
  const stderr = new TextDecoder().decode(output.stderr);
  if (output.code === 3) return stderr.trim();
  assert.equal(output.code, 0, stderr);
  const answer = JSON.parse(new TextDecoder().decode(output.stdout));
  console.log(`transformers ${answer.versions.transformers}, torch ${answer.versions.torch}`);
  return answer.models;
}

Deno.test("transformers loads what is saved here, to the last bit", async (test) => {
  const root = await Deno.makeTempDir();
  try {
    const directories = await Promise.all(cases.map(async ({ tied, dtype, fields }, i) => {
      const config = parseLlamaConfig({ model_type: "llama", ...base, ...fields });
      const directory = await createDirectory(`${root}/${i}`);
      await saveModel(directory, config, randomTensors({ ...config, tieWordEmbeddings: tied }), {
        tieWordEmbeddings: tied,
        dtype,
        companions: new MemoryDirectory(byteTokenizerFiles(["a b"])),
      });
      return directory;
    }));
    const answers = await askTransformers(directories.map(({ name }) => name));
    if (typeof answers === "string") return console.log(`skipped: ${answers}`);
    for (const [i, { tied, dtype }] of cases.entries()) {
      await test.step(`${tied ? "tied" : "untied"} ${dtype}`, async () => {
        const answer = answers[i];
        const source = await openModel(directories[i]);
        assert.deepEqual(answer.misfits, {});
        assert.equal(answer.tied, tied);
        assert.equal(
          answer.dtype,
          { F32: "torch.float32", BF16: "torch.bfloat16", F16: "torch.float16" }[dtype],
        );
        const theirs = answer.sha256 as Record<string, string>;
        for (const name of source.tensors.keys()) {
          const values = await source.readFloat32(name);
          assert.equal(await sha256([new Uint8Array(values.buffer)]), theirs[name], name);
        }
        const expected = source.tensors.size + (tied ? 1 : 0);
        assert.equal(Object.keys(theirs).length, expected, "no tensor beyond ours");
        source.close();

        const frequencies = answer.inverse_frequencies as number[];
        for (const [j, ours] of ropeFrequencies(source.config).entries()) {
          assert.ok(Math.abs(frequencies[j] / ours - 1) < 1e-6, `frequency ${j}`);
        }

        const tokenizer = (await loadTokenizer(directories[i]))!;
        assert.deepEqual(texts.map(tokenizer.encode), answer.ids);
        const rendered = chats.map((messages) =>
          renderChat(tokenizer.chatTemplate!, messages, { addGenerationPrompt: true, tokenizer })
        );
        assert.deepEqual(rendered, answer.rendered);
      });
    }
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

function randomTensors(config: ReturnType<typeof parseLlamaConfig>) {
  let seed = 1;
  const random = () => (seed = seed * 48271 % 2147483647) / 2147483647 - 0.5;
  return checkpointTensors(config).map(({ name, shape }) => ({
    name,
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, random),
  }));
}
