import assert from "node:assert/strict";
import { startSft } from "../../src/train/training.ts";
import { type ModelSource, openModel } from "../../src/model/directory.ts";
import { saveModel } from "../../src/model/save.ts";
import type { SavedDtype } from "../../src/formats/tensor_data.ts";
import { parseModelConfig } from "../../src/model/config.ts";
import { checkpointTensors } from "../../src/model/params.ts";
import { ropeFrequencies } from "../../src/model/rope_frequencies.ts";
import { sha256 } from "../../src/platform/checkpoint_storage.ts";
import { createDirectory } from "../../src/platform/files.ts";
import { renderChat } from "../../src/text/chat.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { MemoryDirectory } from "../formats/memory_directory.ts";
import { assertClose, gpu } from "../kernels/harness.ts";
import { logitsOf } from "../model/logits.ts";
import { gradientDifference, options, takeStep } from "../model/small_models.ts";
import { askPython, lackOfPython } from "../python.ts";
import { unless } from "../skip.ts";
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
const cases: {
  tied: boolean;
  dtype: SavedDtype;
  fields: Record<string, unknown>;
  maxShardBytes?: number;
}[] = [
  { tied: true, dtype: "F32", fields: {} },
  { tied: false, dtype: "F32", fields: {}, maxShardBytes: 30_000 },
  { tied: false, dtype: "BF16", fields: { rope_scaling: { rope_type: "linear", factor: 2 } } },
  { tied: false, dtype: "F16", fields: { rope_scaling: llama3, rope_theta: 5e5, head_dim: 24 } },
  { tied: true, dtype: "F32", fields: { attention_bias: true, mlp_bias: true } },
  { tied: false, dtype: "F32", fields: { model_type: "mistral", sliding_window: null } },
  { tied: true, dtype: "F32", fields: { model_type: "qwen2", num_key_value_heads: 3 } },
];
/** Longer than one tile of attention. */
const sequences = [[7], Array.from({ length: 50 }, (_, i) => (i * i * 31 + 5 * i) % 111)];
const texts = ["", "ab a1b\n  22", "<|im_start|>a<|im_end|>"];
const chats = [[{ role: "user", content: "a?" }, { role: "assistant", content: "b" }]];

/** Asks transformers about model directories. */
async function askTransformers(directories: string[]): Promise<Record<string, unknown>[]> {
  const models = directories.map((directory) => ({ directory, texts, chats, sequences }));
  const answer = await askPython<
    { versions: Record<string, string>; models: Record<string, unknown>[] }
  >(new URL("transformers_peer.py", import.meta.url), { models });
  console.log(`transformers ${answer.versions.transformers}, torch ${answer.versions.torch}`);
  return answer.models;
}

const lack = await lackOfPython("torch", "transformers");
Deno.test(
  unless(
    lack,
    "transformers loads what is saved here, to the last bit, and gives our logits and gradients",
  ),
  async (test) => {
    const root = await Deno.makeTempDir();
    try {
      const directories = await Promise.all(
        cases.map(async ({ tied, dtype, fields, maxShardBytes }, i) => {
          const config = parseModelConfig({ model_type: "llama", ...base, ...fields });
          const directory = await createDirectory(`${root}/${i}`);
          await saveModel(
            directory,
            config,
            randomTensors({ ...config, tieWordEmbeddings: tied }),
            {
              tieWordEmbeddings: tied,
              dtype,
              maxShardBytes,
              companions: new MemoryDirectory(byteTokenizerFiles(["a b"])),
            },
          );
          return directory;
        }),
      );
      const answers = await askTransformers(directories.map(({ name }) => name));
      for (const [i, { tied, dtype, maxShardBytes }] of cases.entries()) {
        const shards = maxShardBytes === undefined ? "" : " in shards";
        const kind = String(cases[i].fields.model_type ?? "llama");
        await test.step(`${kind}, ${tied ? "tied" : "untied"} ${dtype}${shards}`, async () => {
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

          for (const [j, ids] of sequences.entries()) {
            const expected = (answer.logits as number[][][])[j].flat();
            const source = await openModel(directories[i]);
            const found = await logitsOf({ config: source.config, read: source.readChunks }, ids);
            source.close();
            assertClose(found, expected, { absolute: 1e-3, relative: 1e-4, name: "logits" });
          }

          const gradients = new Map(Object.entries(answer.gradients as Record<string, number[]>));
          const found = await gradientsOf(await openModel(directories[i]), sequences.at(-1)!);
          assert.deepEqual([...found.keys()].sort(), [...gradients.keys()].sort());
          const difference = gradientDifference(found, gradients);
          assert.ok(difference < 1e-4, `${difference} of a gradient's norm`);
        });
      }
    } finally {
      await Deno.remove(root, { recursive: true });
    }
  },
);

/** The gradient of every tensor of the next-token loss of a sequence. */
async function gradientsOf(source: ModelSource, ids: number[]): Promise<Map<string, Float32Array>> {
  const checkpoint = { config: source.config, read: source.readChunks };
  const rows = [{ index: 0, ids: Uint32Array.from(ids), promptLength: 0 }];
  const flags = options("sft", { score: "all", "max-length": 64, "max-grad-norm": 0 });
  const training = await startSft(gpu, checkpoint, rows, flags, "f32");
  source.close();
  return (await takeStep(training, [0])).gradients;
}

function randomTensors(config: ReturnType<typeof parseModelConfig>) {
  let seed = 1;
  const random = () => (seed = seed * 48271 % 2147483647) / 2147483647 - 0.5;
  return checkpointTensors(config).map(({ name, shape }) => ({
    name,
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, random),
  }));
}
