/**
 * What each kind of device is given for the work of a small model: every generated WGSL text by its hash, and every
 * command. A change that claims to leave the arithmetic alone leaves these files alone. One that changes them on purpose
 * writes them anew, to be read as a diff:
 *
 *     deno run -P=test tests/recorded/record.ts
 *
 * @module
 */
import { resolveOptions } from "../../src/config/resolve.ts";
import type { PreferencePair, TokenSequence } from "../../src/data/pairs.ts";
import { scorePairs } from "../../src/dpo/evaluate.ts";
import { type Checkpoint, loadModel } from "../../src/model/load.ts";
import { startDpo, startSft, type Training } from "../../src/train/training.ts";
import { Decoder } from "../../src/generate/decoder.ts";
import { PREFIX_BLOCK } from "../../src/generate/prefill.ts";
import { promptLogprobs } from "../../src/generate/prompt_logprobs.ts";
import type { Sequence } from "../../src/generate/sequences.ts";
import { Readback } from "../../src/gpu/readback.ts";
import { GREEDY } from "../../src/kernels/sample.ts";
import type { Operand } from "../../src/kernels/shapes.ts";
import type { DeviceClass } from "../../src/kernels/tuning.ts";
import { LOSS_TYPES, LOSSES } from "../../src/losses/losses.ts";
import { parseModelConfig } from "../../src/model/config.ts";
import { checkpointTensors } from "../../src/model/params.ts";
import type { Weights } from "../../src/model/weights.ts";
import { OPTIMIZERS } from "../../src/train/optimizers.ts";
import { trainingStep } from "../../src/train/step.ts";
import { type DeviceKind, type Notes, placeOf, recordingGpu } from "./device.ts";

const KINDS: Record<DeviceClass, DeviceKind> = {
  gpu: { features: ["shader-f16", "subgroups"], info: { software: false, lanes: 32 } },
  lanes: { features: ["shader-f16", "subgroups"], info: { software: true, lanes: 8 } },
  cpu: { features: [], info: { software: true, lanes: 0 } },
};

const RECORDED: [DeviceClass, Operand][] = [
  ["gpu", "f32"],
  ["gpu", "f16"],
  ["lanes", "f32"],
  ["cpu", "f32"],
];

/** A small model; weights and results are all zeros. */
function smallModel(fields: Record<string, unknown>): Checkpoint {
  const config = parseModelConfig({
    hidden_size: 64,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 16,
    intermediate_size: 96,
    tie_word_embeddings: true,
    ...fields,
  });
  const shapes = new Map(checkpointTensors(config).map(({ name, shape }) => [name, shape]));
  return {
    config,
    async *read(name) {
      yield await Promise.resolve(
        new Float32Array(shapes.get(name)!.reduce((product, size) => product * size)),
      );
    },
  };
}

/** The vocabulary is so large that a GPU cuts the head's sums. */
const checkpoint = smallModel({ model_type: "llama", num_hidden_layers: 2, vocab_size: 20000 });

/** Models with more parts. */
const OTHERS = {
  "Llama with all biases": { model_type: "llama", attention_bias: true, mlp_bias: true },
  "Qwen3 with biases": { model_type: "qwen3", attention_bias: true },
};

const ids = (length: number, first = 1) => Array.from({ length }, (_, i) => first + i);
const side = (promptLength: number, length: number, first: number): TokenSequence => ({
  ids: Uint32Array.of(...ids(promptLength), ...ids(length, first)),
  promptLength,
});
const pairs: PreferencePair[] = [
  { index: 0, chosen: side(7, 40, 100), rejected: side(7, 70, 200) },
  { index: 1, chosen: side(5, 3, 100), rejected: side(5, 9, 200) },
  { index: 2, chosen: side(3, 2, 100), rejected: side(3, 1, 200) },
];

/** Two micro-batches. */
const BATCHES = { "max-length": "128", "batch-size": "2", "gradient-accumulation-steps": "2" };

/** The files' texts by their names. */
export async function record(): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const [kind, precision] of RECORDED) {
    const { shaders, sections } = await work(KINDS[kind], precision);
    const text = [["Shaders", ...shaders.toSorted()].join("\n"), ...sections].join("\n\n");
    texts.set(`${kind}-${precision}.txt`, `${text}\n`);
  }
  return texts;
}

/** Every variant of every kernel that some kind of device gets, with its WGSL as `engine` takes it. */
export async function everyShader(engine: string): Promise<Notes["texts"]> {
  const shaders: Notes["texts"] = [];
  for (const kind of Object.values(KINDS)) {
    const features = [...kind.features, "shader-f16"];
    for (const precision of ["f32", "f16"] as const) {
      shaders.push(...(await work({ ...kind, features, engine }, precision)).texts);
    }
  }
  return shaders;
}

/** Does all kinds of work on a device. */
async function work(
  kind: DeviceKind,
  precision: Operand,
): Promise<Pick<Notes, "shaders" | "texts"> & { sections: string[] }> {
  const { gpu, notes } = recordingGpu(kind);
  const sections: string[] = [];
  const section = async (title: string, work: () => unknown) => {
    notes.commands.length = 0;
    await work();
    sections.push([`${title}: ${notes.commands.length} commands`, ...notes.commands].join("\n"));
  };
  const step = ({ model, optimizer, steps, sync }: Training) => {
    notes.parts = partsOf(model.weights);
    const readback = new Readback(gpu);
    const { microBatches } = steps(Uint32Array.from(pairs.keys()), readback);
    trainingStep(model, optimizer, microBatches, 1e-3, readback);
    sync?.afterStep(1);
  };

  const dpo = options("train", { "train-final-norm": "true", "train-embeddings": "true" });
  const preference = await startDpo(gpu, checkpoint, null, pairs, dpo, precision);
  await section("A step on pairs, everything trains", () => step(preference));
  const sft = options("sft", { "train-layers": "1", "head": "frozen" });
  const rows = pairs.map(({ index, chosen }) => ({ index, ...chosen }));
  const text = await startSft(gpu, checkpoint, rows, sft, precision);
  await section("A step on text, one layer trains", () => step(text));

  const lora = options("train", { "lora-r": "3", "layers-to-transform": "1" });
  const adapters = await startDpo(gpu, checkpoint, null, pairs, lora, precision);
  await section("A step on pairs, adapters of one layer train", () => step(adapters));
  using adapted = new Decoder(adapters.model, 128, 1);
  await section("Adapters: a prompt", () => adapted.begin([sequence(0, null)]));
  await section("Adapters: a further token", () => {
    return adapted.next([{ ...sequence(0, null), ids: [1] }], 1);
  });

  const model = await loadModel(gpu, checkpoint, { precision, positions: 128 });
  await section("Scores of pairs", () => Array.fromAsync(scorePairs(model, pairs)));
  using decoder = new Decoder(model, 256, 2);
  const sequences = [sequence(0, null), sequence(1, 2)];
  await section("Two prompts, one of which begins like the other", async () => {
    await decoder.begin(sequences.slice(0, 1));
    await decoder.begin(sequences.slice(1));
  });
  for (const { ids } of sequences) ids.push(1);
  await section("Two further tokens of both", () => decoder.next(sequences, 2));
  await section("Likelihoods of a prompt", () => promptLogprobs(model, ids(9), 2));

  for (const [name, fields] of Object.entries(OTHERS)) {
    const checkpoint = smallModel({ ...fields, num_hidden_layers: 1, vocab_size: 300 });
    const sft = options("sft", { "train-layers": "1", "head": "frozen", "batch-size": "4" });
    const text = await startSft(gpu, checkpoint, rows, sft, precision);
    await section(`${name}: a step on text`, () => step(text));
    const model = await loadModel(gpu, checkpoint, { precision, positions: 128 });
    using decoder = new Decoder(model, 128, 1);
    const only = sequence(0, null);
    await section(`${name}: a prompt`, () => decoder.begin([only]));
    only.ids.push(1);
    await section(`${name}: a further token`, () => decoder.next([only], 1));
  }

  // Of the other losses and optimizers, their shaders.
  const others = [
    ...LOSS_TYPES.map((type) => ({
      "loss-type": type,
      ...LOSSES[type].reads.includes("labelSmoothing") && { "label-smoothing": "0.1" },
    })),
    { "use-weighting": "true" },
    ...Object.keys(OPTIMIZERS).map((optim) => ({ optim })),
  ];
  const tiny = smallModel({ model_type: "llama", num_hidden_layers: 1, vocab_size: 300 });
  for (const flags of others) {
    const all = options("train", { "batch-size": "3", ...flags });
    step(await startDpo(gpu, tiny, null, pairs, all, precision));
  }
  // A reference of its own that follows the policy, frozen weights included.
  const synced = { "train-layers": "1", "sync-ref-model": "true", "ref-model-sync-steps": "1" };
  step(await startDpo(gpu, tiny, tiny, pairs, options("train", synced), precision));
  return { shaders: notes.shaders, texts: notes.texts, sections };
}

/** The parameters that lie in arenas. */
function partsOf({ parameters }: Weights): Notes["parts"] {
  const tensors = parameters.values().flatMap(({ operand, master, gradient }) =>
    master && gradient ? [operand, master, gradient] : []
  );
  return new Map(
    tensors.map(({ storage: { buffer, offsetBytes, sizeBytes, label } }) =>
      [placeOf(buffer, offsetBytes), { name: label, size: sizeBytes }] as const
    ),
  );
}

function options<C extends "train" | "sft">(command: C, flags: Record<string, string>) {
  return resolveOptions(command, { flags: Object.entries({ ...BATCHES, ...flags }) }).options;
}

/** The second one takes the beginning of the first one from the cache. */
function sequence(slot: number, topLogprobs: number | null): Sequence {
  return {
    prompt: ids(PREFIX_BLOCK + 9),
    ids: [],
    slot,
    firstRow: 128 * slot,
    ...slot > 0 && { prefix: { firstRow: 0, length: PREFIX_BLOCK } },
    sampling: GREEDY,
    topLogprobs,
  };
}

if (import.meta.main) {
  for (const [name, text] of await record()) {
    await Deno.writeTextFile(new URL(name, import.meta.url), text);
  }
}
