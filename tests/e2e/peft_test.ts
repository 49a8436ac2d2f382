/** PEFT loads the adapters that are trained here, and its own are loaded here: with the same logits and gradients. */
import assert from "node:assert/strict";
import { startSft } from "../../src/train/training.ts";
import { openStoredModel } from "../../src/platform/models.ts";
import { assertClose, gpu } from "../kernels/harness.ts";
import { logitsOf, modelLogits } from "../model/logits.ts";
import { gradientDifference, options, takeStep } from "../model/small_models.ts";
import { askPython, lackOfPython } from "../python.ts";
import { unless } from "../skip.ts";
import { inTemporaryDirectory, runOk } from "./command.ts";
import { inputFlags, writeInputs, writeModel } from "./inputs.ts";

/** How adapters are trained here, and how PEFT makes its own, of models of both shapes. */
const CASES = [
  {
    fields: {},
    flags: { "lora-r": 5, "lora-alpha": 7, "lora-target-modules": "all-linear" },
    config: { r: 3, lora_alpha: 4, target_modules: ["q_proj", "v_proj", "down_proj"] },
  },
  {
    fields: { model_type: "qwen2", num_key_value_heads: 3, tie_word_embeddings: false },
    flags: {
      "lora-r": 4,
      "lora-target-modules": "k_proj,up_proj",
      "use-rslora": true,
      "layers-to-transform": "1",
    },
    config: { r: 2, lora_alpha: 3, target_modules: "all-linear", use_rslora: true },
  },
];

const sequences = [[7], Array.from({ length: 50 }, (_, i) => (i * i * 31 + 5 * i) % 113)];
const CLOSE = { absolute: 1e-3, relative: 1e-4, name: "logits" };

interface PeftAnswer {
  versions: Record<string, string>;
  loaded: number[][][];
  gradients: Record<string, number[]>;
  made: number[][][];
}

for (const { fields, flags, config } of CASES) {
  const kind = String("model_type" in fields ? fields.model_type : "llama");
  Deno.test({
    ...unless(await lackOfPython("torch", "peft"), `adapters of a ${kind} here and in PEFT`),
    fn: () =>
      inTemporaryDirectory(async (directory) => {
        const inputs = await writeInputs(directory, 8);
        const base = await writeModel(inputs.model, fields);
        const [ours, theirs] = [`${directory}/ours`, `${directory}/theirs`];
        const training = Object.entries(flags).flatMap((
          [name, value],
        ) => [`--${name}`, String(value)]);
        const steps = ["--max-steps", 3, "--learning-rate", 0.03, "--max-length", 64];
        await runOk("train", ...inputFlags(inputs), ...training, ...steps, "--output", ours);
        const answer = await askPython<PeftAnswer>(
          new URL("peft_peer.py", import.meta.url),
          { base, adapter: ours, write: theirs, config, sequences },
        );
        console.log(`peft ${answer.versions.peft}, torch ${answer.versions.torch}`);

        using plain = await openStoredModel(base);
        using trained = await openStoredModel(ours);
        const rows = [{ index: 0, ids: Uint32Array.from(sequences[1]), promptLength: 0 }];
        const all = { score: "all", "max-length": 64, "max-grad-norm": 0, ...flags };
        const going = await startSft(gpu, trained, rows, options("sft", all), "f32");
        for (const [i, ids] of sequences.entries()) {
          const expected = answer.loaded[i].flat();
          assertClose(await logitsOf(trained, ids), expected, CLOSE);
          assertClose(await modelLogits(going.model, ids), expected, CLOSE);
          const before = await logitsOf(plain, ids);
          assert.ok(expected.some((x, j) => Math.abs(x - before[j]) > 0.1), "training shows");
        }
        const { gradients } = await takeStep(going, [0]);
        const expected = new Map(Object.entries(answer.gradients));
        assert.deepEqual([...gradients.keys()].toSorted(), [...expected.keys()].toSorted());
        const difference = gradientDifference(gradients, expected);
        assert.ok(difference < 1e-4, `${difference} of a gradient's norm`);

        using made = await openStoredModel(theirs);
        for (const [i, ids] of sequences.entries()) {
          assertClose(await logitsOf(made, ids), answer.made[i].flat(), CLOSE);
        }
      }),
  });
}
