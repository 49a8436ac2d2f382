import assert from "node:assert/strict";
import { lackOfPython, runPython } from "../python.ts";
import { unless } from "../skip.ts";
import { GOLDEN, GOLDEN_CASES } from "./golden.ts";

// tiny-dialogue takes half a minute and is left to whoever asks for it.
const CASES = GOLDEN_CASES.filter((name) => name !== "tiny-dialogue").concat("sampling");

const lack = await lackOfPython("torch");

Deno.test(unless(lack, "PyTorch in float64 gives the golden numbers"), async () => {
  const script = new URL("../golden/make.py", import.meta.url);
  const found = await runPython(script, CASES);
  const lines = found.trimEnd().split("\n");
  assert.equal(lines.length, CASES.length);
  for (const [i, name] of CASES.entries()) {
    assert.match(lines[i], new RegExp(`^${name}: \\d{3,} values, 0 different$`));
  }
});

Deno.test(unless(lack, "a golden number that is wrong is found"), async () => {
  const directory = await Deno.makeTempDir();
  try {
    const name = "tied-gqa";
    await Deno.mkdir(`${directory}/${name}/model`, { recursive: true });
    const files = ["case.json", "pairs.jsonl", "model/config.json", "model/model.safetensors"];
    for (const file of ["make.py", ...files.map((file) => `${name}/${file}`)]) {
      await Deno.copyFile(`${GOLDEN}/${file}`, `${directory}/${file}`);
    }
    const expected = JSON.parse(await Deno.readTextFile(`${GOLDEN}/${name}/expected.json`));
    expected.variants[0].steps[2].loss *= 1 + 1e-7;
    await Deno.writeTextFile(`${directory}/${name}/expected.json`, JSON.stringify(expected));
    const script = new URL(`file://${directory}/make.py`);
    const found = await runPython(script, [name], { exitCode: 1 });
    assert.match(found, /^tied-gqa\.variants\[0\]\.steps\[2\]\.loss: expected .*, found/);
    assert.match(found, / 1 different$/m);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
