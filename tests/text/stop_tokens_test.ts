import assert from "node:assert/strict";
import { checkpointTensors } from "../../src/model/params.ts";
import { saveModel } from "../../src/model/save.ts";
import { createDirectory } from "../../src/platform/files.ts";
import { openStoredModel } from "../../src/platform/models.ts";
import { readStopIds } from "../../src/text/stop_tokens.ts";
import { inTemporaryDirectory } from "../e2e/command.ts";
import { MemoryDirectory } from "../formats/memory_directory.ts";
import { tensorOf } from "../model/small_models.ts";
import { byteTokenizer, END, IM_END } from "./byte_tokenizer.ts";

const config = { eosTokenIds: [END], vocabSize: 400 };

function stopIds(
  generation: unknown,
  tokenizer: Parameters<typeof readStopIds>[2] = null,
): Promise<number[]> {
  const files: Record<string, string> = generation === undefined
    ? {}
    : { "generation_config.json": JSON.stringify(generation) };
  return readStopIds(new MemoryDirectory(files), config, tokenizer);
}

Deno.test("stop tokens: those of configuration, generation configuration and tokenizer together", async () => {
  const tokenizer = await byteTokenizer([], { eos_token: "<|im_end|>" });
  assert.deepEqual(await stopIds(undefined), [END]);
  assert.deepEqual(await stopIds(undefined, tokenizer), [END, IM_END]);
  assert.deepEqual(await stopIds({ eos_token_id: [7, END] }), [END, 7]);
  assert.deepEqual(await stopIds({ eos_token_id: 7 }, tokenizer), [END, 7, IM_END]);
  assert.deepEqual(await stopIds({ eos_token_id: null }), [END]);
  assert.deepEqual(await stopIds({ temperature: 0.6 }), [END]);
});

Deno.test("stop tokens: ids that the model cannot write are left out, what is no id is refused", async () => {
  assert.deepEqual(await stopIds({ eos_token_id: [7, 400] }), [END, 7]);
  await assert.rejects(
    stopIds({ eos_token_id: [7, "<|im_end|>"] }),
    /generation_config.json: expected "eos_token_id" to be token ids, found "<\|im_end\|>"/,
  );
});

Deno.test("stop tokens: a model is opened with all of them, and saved with them", () =>
  inTemporaryDirectory(async (path) => {
    for (const { name } of Deno.readDirSync("fixtures/model")) {
      await Deno.copyFile(`fixtures/model/${name}`, `${path}/${name}`);
    }
    await Deno.writeTextFile(`${path}/generation_config.json`, '{"eos_token_id": [5, 2]}');
    using stored = await openStoredModel(path);
    assert.deepEqual(stored.stopIds, [...new Set([...stored.config.eosTokenIds, 5, 2])]);
    const saved = await createDirectory(`${path}/saved`);
    const tensors = await Promise.all(
      checkpointTensors(stored.config).map(async ({ name, shape }) => {
        return { name, shape, data: await tensorOf(stored, name) };
      }),
    );
    const companions = stored.directory;
    await saveModel(saved, stored.config, tensors, { tieWordEmbeddings: true, companions });
    using again = await openStoredModel(`${path}/saved`);
    assert.deepEqual(again.stopIds, stored.stopIds);
  }));
