import type { Options } from "../config/resolve.ts";
import { UserError } from "../errors.ts";
import { elementCount } from "../gpu/tensor.ts";
import type { SavedDtype } from "../formats/tensor_data.ts";
import { checkpointTensors } from "../model/params.ts";
import type { ModelSource } from "../model/directory.ts";
import { parseByteSize, SAVED_DTYPES, saveModel } from "../model/save.ts";
import { createWhole } from "../platform/files.ts";
import { openModelAt } from "../platform/models.ts";
import type { Context } from "./context.ts";
import { bringFromHub } from "./hub_files.ts";
import { openPushTarget, pushToHub } from "./hub_target.ts";

/** Writes a model, in whatever files it is, as a directory that Hugging Face's libraries load. */
export async function run(
  options: Options<"convert">,
  context: Context<"convert">,
): Promise<void> {
  const { model, configFrom, output, merge, saveDtype, maxShardSize, json } = options;
  const { stdout, stderr } = context;
  if (output === null) {
    throw new UserError("Expected --output DIR to say where to write, found none");
  }
  const maxShardBytes = parseByteSize(maxShardSize);
  const target = await openPushTarget(options);
  await bringFromHub(context);
  const source = await openModelAt(model, configFrom);
  try {
    for (const note of source.notes) stderr.write(`weights    ${note}\n`);
    const { config, directory, tensors } = source;
    refuseMerge(model, merge, source);
    const whole = source.adapted?.base.tensors ?? tensors;
    const stored = new Set([...whole.values()].map(({ dtype }) => dtype));
    const dtype = saveDtype === null ? dtypeAsStored(stored) : SAVED_DTYPES[saveDtype];
    // Each tensor is read when it is written, so that no more than one is in memory.
    const saved = checkpointTensors(config).map(({ name, shape }) => ({
      name,
      shape,
      data: () => source.readFloat32(name),
    }));
    const { tieWordEmbeddings } = config;
    const how = { tieWordEmbeddings, dtype, maxShardBytes, companions: directory };
    await createWhole(output, (to) => saveModel(to, config, saved, how));
    const parameters = saved.reduce((sum, { shape }) => sum + elementCount(shape), 0);
    const head = tieWordEmbeddings ? "head tied to the embedding" : "head of its own";
    const from = [...stored].join(" and ");
    stderr.write(`saved      ${output}: ${parameters} weights, ${from} as ${dtype}, ${head}\n`);
    if (json) {
      stdout.write(`${JSON.stringify({ output, parameters, dtype, tieWordEmbeddings })}\n`);
    }
    if (target) await pushToHub(target, output, context);
  } finally {
    source.close();
  }
}

/** Adapters are merged, and nothing else is: whoever converts is to know which it was. */
function refuseMerge(model: string, merge: boolean, { adapted }: ModelSource): void {
  if (merge === (adapted !== undefined)) return;
  throw new UserError(
    merge
      ? `Expected adapters in ${model} for --merge, found a whole model: leave it out`
      : `Expected --merge for ${model}, found none: it holds adapters of ${
        adapted!.name
      }, which are written as a whole model only`,
  );
}

function dtypeAsStored(stored: ReadonlySet<string>): SavedDtype {
  const [only, ...others] = stored;
  const known = Object.values(SAVED_DTYPES).find((dtype) => dtype === only);
  return others.length === 0 && known ? known : "F32";
}
