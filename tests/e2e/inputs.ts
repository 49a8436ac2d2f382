/** Small models and datasets on disk. */
import type { PreferencePair } from "../../src/data/pairs.ts";
import { saveModel } from "../../src/model/directory.ts";
import { checkpointTensors } from "../../src/model/params.ts";
import { createDirectory } from "../../src/platform/files.ts";
import { randomCheckpoint, smallConfig, tensorsOf } from "../model/small_models.ts";

/** Saves a small model with random weights, without a tokenizer. */
export async function writeModel(
  path: string,
  fields: Record<string, unknown> = {},
  seed = 1,
): Promise<string> {
  const config = smallConfig(fields);
  const tensors = await tensorsOf(randomCheckpoint(config, seed));
  await saveModel(
    await createDirectory(path),
    config,
    checkpointTensors(config).map(({ name, shape }) => ({
      name,
      shape,
      data: tensors.get(name) as Float32Array<ArrayBuffer>,
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
