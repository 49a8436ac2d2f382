/** Small Llamas with random weights, random pairs for them, and single training steps on the test device. */
import { type Command, type Options, resolveOptions } from "../../src/config/resolve.ts";
import type { TextRow } from "../../src/data/sequences.ts";
import type { PreferencePair, TokenSequence } from "../../src/data/pairs.ts";
import type { Checkpoint } from "../../src/model/load.ts";
import type { Training } from "../../src/train/training.ts";
import { Readback } from "../../src/gpu/readback.ts";
import { readTensor, readTensorU32 } from "../../src/gpu/tensor.ts";
import { STATE } from "../../src/kernels/state.ts";
import { type ModelConfig, parseModelConfig } from "../../src/model/config.ts";
import { checkpointTensors } from "../../src/model/params.ts";
import { randomWeights } from "../../src/model/random_weights.ts";
import { savedTensors, trainedParameters } from "../../src/model/weights.ts";
import { trainLoop } from "../../src/train/loop.ts";
import type { StepMetrics } from "../../src/train/step_metrics.ts";
import { planData } from "../../src/train/order.ts";
import { plannedRows } from "../../src/train/step_rows.ts";
import { trainingStep } from "../../src/train/step.ts";
import { gpu, random } from "../kernels/harness.ts";

/** A Llama of 2 layers, or what the fields make of it; weights larger than Hugging Face's, so that no gradient is tiny. */
export function smallConfig(fields: Record<string, unknown> = {}): ModelConfig {
  return parseModelConfig({
    model_type: "llama",
    hidden_size: 48,
    num_hidden_layers: 2,
    num_attention_heads: 3,
    num_key_value_heads: 1,
    intermediate_size: 44,
    vocab_size: 113,
    max_position_embeddings: 64,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: true,
    initializer_range: 0.15,
    ...fields,
  });
}

/** A model with random weights; the gains of its norms are not all 1, its biases not all 0. */
export function randomCheckpoint(config: ModelConfig, seed: number): Checkpoint {
  const plain = randomWeights(config, seed);
  return {
    config,
    async *read(name) {
      const next = random(seed);
      for await (const data of plain(name)) {
        const isVector = name.endsWith("norm.weight") || name.endsWith(".bias");
        yield isVector ? data.map((value) => value + 0.3 * next()) : data;
      }
    },
  };
}

/** A model that computes nothing but NaN wherever one of its tokens was seen, and is sound elsewhere. */
export function brokenCheckpoint(token: number, fields: Record<string, unknown> = {}): Checkpoint {
  const config = smallConfig({ tie_word_embeddings: false, ...fields });
  const sound = randomCheckpoint(config, 3);
  return {
    config,
    async *read(name) {
      let first = 0;
      const [begin, end] = [token, token + 1].map((row) => row * config.hiddenSize);
      for await (const data of sound.read(name)) {
        const isBroken = (i: number) => first + i >= begin && first + i < end;
        yield name.endsWith("embed_tokens.weight")
          ? data.map((x, i) => isBroken(i) ? NaN : x)
          : data;
        first += data.length;
      }
    },
  };
}

/** One tensor of a checkpoint, whole. */
export async function tensorOf(
  { read }: Pick<Checkpoint, "read">,
  name: string,
): Promise<Float32Array<ArrayBuffer>> {
  const pieces = await Array.fromAsync(read(name));
  const tensor = new Float32Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let first = 0;
  for (const piece of pieces) {
    tensor.set(piece, first);
    first += piece.length;
  }
  return tensor;
}

/** The weights of a checkpoint by name. */
export async function tensorsOf(checkpoint: Checkpoint): Promise<Map<string, Float32Array>> {
  const entries = checkpointTensors(checkpoint.config).map(async ({ name }) =>
    [name, await tensorOf(checkpoint, name)] as const
  );
  return new Map(await Promise.all(entries));
}

/** Pairs with shared prompts; lengths differ, up to `longest` tokens. */
export function randomPairs(
  seed: number,
  count: number,
  vocabSize: number,
  longest = 20,
): PreferencePair[] {
  const next = random(seed);
  const below = (end: number) => Math.floor((next() + 1) / 2 * end);
  return Array.from({ length: count }, (_, index) => {
    const prompt = Array.from({ length: 1 + below(longest / 2) }, () => below(vocabSize));
    const side = (): TokenSequence => {
      const completion = Array.from({ length: 1 + below(longest / 2) }, () => below(vocabSize));
      return { ids: Uint32Array.of(...prompt, ...completion), promptLength: prompt.length };
    };
    return { index, chosen: side(), rejected: side() };
  });
}

/** The chosen side of a pair, as a text. */
export const textRow = ({ index, chosen }: PreferencePair): TextRow => ({ index, ...chosen });

/** Pairs at the edge of what a dataset may hold: sides alike, one the beginning of the other, nothing in common. */
export function awkwardPairs(): PreferencePair[] {
  const sequence = (ids: number[], promptLength: number) => ({
    ids: Uint32Array.from(ids),
    promptLength,
  });
  return [
    [sequence([5, 6, 7, 8], 2), sequence([5, 6, 7, 8], 2)],
    [sequence([5, 6, 7, 8, 9, 10], 2), sequence([5, 6, 7], 2)],
    [sequence([3, 4], 1), sequence([3, 3, 3, 3], 1)],
    [sequence([11, 12, 13], 2), sequence([20, 21, 22, 23, 24], 2)],
  ].map(([chosen, rejected], index) => ({ index, chosen, rejected }));
}

/** Options of a command as from the command line. */
export function options<C extends Command>(command: C, flags: Record<string, unknown>): Options<C> {
  return resolveOptions(command, {
    flags: Object.entries(flags).map(([name, value]) => [name, String(value)] as const),
  }).options;
}

/** What a step on the given rows gives: its metrics and the gradient of every trained tensor of the checkpoint. */
export async function takeStep(
  { model, optimizer, steps }: Pick<Training, "model" | "optimizer" | "steps">,
  rows: number[],
  learningRate = 0,
): Promise<{ metrics: Record<string, number>; gradients: Map<string, Float32Array> }> {
  const readback = new Readback(gpu);
  const scale = new Float32Array(
    (await readTensorU32(gpu, optimizer.state)).buffer,
  )[STATE.loss_scale];
  const { microBatches, metrics } = steps(Uint32Array.from(rows), readback);
  trainingStep(model, optimizer, microBatches, learningRate, readback);
  await readback.fetch();
  const gradients = new Map<string, Float32Array>();
  for (const { spec, gradient } of trainedParameters(model.weights)) {
    const data = (await readTensor(gpu, gradient)).map((value) => value / scale);
    const columns = spec.shape[1] ?? 1;
    for (const { name, shape, firstRow } of spec.checkpoint) {
      gradients.set(name, data.subarray(firstRow * columns, (firstRow + shape[0]) * columns));
    }
  }
  return { metrics: metrics(), gradients };
}

/** Trains as the command line would, without files: the trained weights and every step's metrics. */
export async function trainAll(
  { model, optimizer, steps, sync }: Training,
  rows: number,
  options: Options<"train"> | Options<"sft">,
): Promise<{ weights: Map<string, Float32Array>; metrics: StepMetrics[] }> {
  const metrics: StepMetrics[] = [];
  const rowsPerStep = options.perDeviceTrainBatchSize * options.gradientAccumulationSteps;
  const plan = planData(rows, rowsPerStep, options.numTrainEpochs, options.maxSteps);
  await trainLoop(model, optimizer, steps, {
    rows: plannedRows(plan, options),
    schedule: { ...options, type: options.lrSchedulerType, totalSteps: plan.totalSteps },
    onStep: (step) => void metrics.push(step),
    afterStep: (step) => sync?.afterStep(step),
    saveEverySteps: 0,
    save: () => Promise.reject(new Error("Expected no checkpoint")),
  });
  const tensors = savedTensors(model.gpu, model.weights).map(async ({ name, data }) =>
    [name, await data()] as const
  );
  return { weights: new Map(await Promise.all(tensors)), metrics };
}

/** The largest difference of two gradients in any tensor, relative to the tensor's norm. */
export function gradientDifference(
  found: ReadonlyMap<string, ArrayLike<number>>,
  expected: ReadonlyMap<string, ArrayLike<number>>,
): number {
  let largest = 0;
  for (const [name, values] of expected) {
    const other = found.get(name)!;
    let difference = 0;
    let square = 0;
    for (let i = 0; i < values.length; i++) {
      difference += (other[i] - values[i]) ** 2;
      square += values[i] ** 2;
    }
    largest = Math.max(largest, Math.sqrt(difference / square));
  }
  return largest;
}
