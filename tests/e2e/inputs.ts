/** Small models and datasets on disk, and what runs on them leave. */
import type { PreferencePair } from "../../src/data/pairs.ts";
import { saveModel } from "../../src/model/save.ts";
import { checkpointTensors } from "../../src/model/params.ts";
import { createDirectory } from "../../src/platform/files.ts";
import { randomCheckpoint, randomPairs, smallConfig, tensorsOf } from "../model/small_models.ts";
import { jsonLines } from "./command.ts";

/**
 * Saves a small model with random weights, without a tokenizer.
 *
 * @param factorOf What to multiply the weights of a tensor by.
 */
export async function writeModel(
  path: string,
  fields: Record<string, unknown> = {},
  seed = 1,
  factorOf: (name: string) => number = () => 1,
): Promise<string> {
  const config = smallConfig(fields);
  const tensors = await tensorsOf(randomCheckpoint(config, seed));
  await saveModel(
    await createDirectory(path),
    config,
    checkpointTensors(config).map(({ name, shape }) => ({
      name,
      shape,
      data: Float32Array.from(tensors.get(name)!, (weight) => weight * factorOf(name)),
    })),
    { tieWordEmbeddings: config.tieWordEmbeddings },
  );
  return path;
}

/** Writes pairs as rows of token ids. */
export async function writePairs(path: string, pairs: readonly PreferencePair[]): Promise<string> {
  const rows = pairs.map(({ chosen, rejected }) => ({
    prompt_ids: [...chosen.ids.subarray(0, chosen.promptLength)],
    chosen_ids: [...chosen.ids.subarray(chosen.promptLength)],
    rejected_ids: [...rejected.ids.subarray(rejected.promptLength)],
  }));
  await Deno.writeTextFile(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return path;
}

/** Writes the chosen answers as rows of token ids with labels, of which every other one is good. */
export async function writeAnswers(
  path: string,
  pairs: readonly PreferencePair[],
): Promise<string> {
  const rows = pairs.map(({ chosen }, i) => ({
    input_ids: [...chosen.ids],
    prompt_length: chosen.promptLength,
    label: i % 2 === 0,
  }));
  await Deno.writeTextFile(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return path;
}

/** A model, and pairs to train on and to hold out. */
export interface Inputs {
  model: string;
  pairs: string;
  heldOut: string;
}

export async function writeInputs(directory: string, count: number): Promise<Inputs> {
  return {
    model: await writeModel(`${directory}/model`),
    pairs: await writePairs(`${directory}/pairs.jsonl`, randomPairs(1, count, 113, 30)),
    heldOut: await writePairs(`${directory}/held_out.jsonl`, randomPairs(2, 3, 113, 30)),
  };
}

/** The flags that name inputs, for `train`. */
export const inputFlags = ({ model, pairs, heldOut }: Inputs) => [
  ...["--model", model, "--dataset", pairs, "--eval-dataset", heldOut],
];

/** The metrics of a run. */
export const readMetrics = async (output: string) =>
  jsonLines<Record<string, number>>(await Deno.readTextFile(`${output}/metrics.jsonl`));

/** The bytes of the model that a run leaves. */
export const readModel = (output: string) => Deno.readFile(`${output}/model.safetensors`);
/** The bytes of the adapters that a run leaves. */
export const readAdapter = (output: string) => Deno.readFile(`${output}/adapter_model.safetensors`);
