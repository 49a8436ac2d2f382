/** What torch.save writes is read here to the last bit, and nothing of it is executed. */
import assert from "node:assert/strict";
import { openModel } from "../../src/model/directory.ts";
import { checkpointTensors } from "../../src/model/params.ts";
import { sha256 } from "../../src/platform/checkpoint_storage.ts";
import { openDirectory } from "../../src/platform/files.ts";
import { smallConfig } from "../model/small_models.ts";
import { askPython, lackOfPython } from "../python.ts";
import { unless } from "../skip.ts";
import { inTemporaryDirectory, run, runOk } from "./command.ts";
import { writeModel } from "./inputs.ts";

type Hashes = Record<string, string>;

/** Files that must be refused, and what is said of them. */
const REFUSED: Record<string, RegExp> = {
  "hostile.pth":
    /hostile\.pth: .*found that it uses posix\.system: a pickle that does can run any program/,
  "module.pth": /uses torch\.nn\.modules\.linear\.Linear/,
  "legacy.pth":
    /legacy\.pth: expected a zip file of torch\.save, found a bare pickle, as PyTorch wrote before 1\.6/,
};
const TIED = ["tied.pth", "without_head.bin"];
const DTYPES: Record<string, string> = { "bf16.pth": "BF16", "f16.pth": "F16" };

/** What PyTorch wrote. */
interface Written {
  version: string;
  files: Record<string, Hashes>;
}

const lack = await lackOfPython("torch");
Deno.test(
  unless(lack, "PyTorch's files convert to the last bit, or are refused by name"),
  async (test) => {
    await inTemporaryDirectory(async (directory) => {
      const untied = smallConfig({ tie_word_embeddings: false });
      const shapes = checkpointTensors(untied).map(({ name, shape }) => [name, shape] as const);
      const answer = await askPython<Written>(new URL("torch_peer.py", import.meta.url), {
        directory,
        tensors: Object.fromEntries(shapes),
      });
      console.log(`torch ${answer.version}`);
      // A configuration that says "tied" of all of them: the weights know better.
      const configFrom = await writeModel(`${directory}/configuration`, {
        tie_word_embeddings: true,
      });
      for (const [file, hashes] of Object.entries(answer.files)) {
        await test.step(file, async () => {
          const output = `${directory}/${file} converted`;
          const flags = ["--model", `${directory}/${file}`, "--config-from", configFrom];
          if (REFUSED[file]) {
            const { code, stderr } = await run("convert", ...flags, "--output", output);
            assert.equal(code, 2);
            assert.match(stderr, REFUSED[file]);
            assert.equal(await Deno.stat(output).catch(() => null), null);
            return;
          }
          await runOk("convert", ...flags, "--output", output);
          const source = await openModel(await openDirectory(output));
          assert.equal(source.config.tieWordEmbeddings, TIED.includes(file));
          const dtypes = new Set([...source.tensors.values()].map(({ dtype }) => dtype));
          assert.deepEqual([...dtypes], [DTYPES[file] ?? "F32"]);
          for (const name of source.tensors.keys()) {
            const values = await source.readFloat32(name);
            assert.equal(await sha256([new Uint8Array(values.buffer)]), hashes[name], name);
          }
          const headless = Object.keys(hashes).filter((name) => name !== "lm_head.weight").length;
          assert.equal(source.tensors.size, headless + (TIED.includes(file) ? 0 : 1));
          source.close();
        });
      }
    });
  },
);
