import assert from "node:assert/strict";
import { commandHelp, overview } from "../../src/cli/help.ts";
import { type Command, COMMANDS } from "../../src/config/resolve.ts";
import { kebabCase, optionNames } from "../../src/config/values.ts";

Deno.test("the overview names every command", () => {
  for (const command of COMMANDS) assert.match(overview(), new RegExp(`^  ${command} `, "m"));
});

Deno.test("a command's help names its flags and no others", () => {
  for (const command of COMMANDS) {
    const named = commandHelp(command).matchAll(/^ {2}--(?:\[no-\])?([\w-]+)/gm);
    assert.deepEqual(
      Array.from(named, ([, flag]) => flag),
      optionNames(command).map(kebabCase),
    );
  }
});

Deno.test("help tells values, bounds, aliases and the command's default", () => {
  const train = commandHelp("train");
  assert.match(train, /--precision auto\|f32\|f16 /);
  assert.match(train, /--loss-type NAME,... +Preference loss, .*\s+\(sigmoid, robust,/);
  assert.match(train, /--train-layers all\|last-sixth\|N\s/);
  assert.match(train, /--\[no-\]shuffle +.*\(default: on\)/);
  assert.match(train, /--resume \[DIR\] /);
  assert.match(train, /--num-train-epochs N +.*\(also --epochs; above 0; default: 1\)/);
  assert.match(train, /--learning-rate N[^]{0,200}?default:\s+1e-6\)/);
  assert.match(commandHelp("sft"), /--learning-rate N[^]{0,200}?default:\s+2e-5\)/);
  assert.match(commandHelp("generate"), /--prompt-ids N,N,\.\.\. /);
});

Deno.test("help has sections, the most used options first, in lines of 100 columns unless a word is longer", () => {
  const titles = (command: Command) =>
    Array.from(commandHelp(command).matchAll(/^([A-Z][^:\n]*)\n {2}--/gm), ([, title]) => title);
  assert.deepEqual(titles("train"), [
    "Most used",
    "Dataset",
    "Filter",
    "Loss",
    "Optimizer",
    "What is trained",
    "Evaluation",
    "Saving",
    "Device and cache",
  ]);
  assert.deepEqual(titles("serve"), ["Most used", "Server", "Device and cache"]);
  for (const command of COMMANDS) {
    const tooLong = commandHelp(command).split("\n").filter((line) =>
      line.length > 100 && line.includes(" ", 34)
    );
    assert.deepEqual(tooLong, [], command);
  }
});
