import assert from "node:assert/strict";
import { commandHelp, overview } from "../../src/cli/help.ts";
import { COMMANDS } from "../../src/config.ts";
import { kebabCase, optionNames } from "../../src/config/values.ts";

Deno.test("the overview names every command", () => {
  for (const command of COMMANDS) assert.match(overview(), new RegExp(`^  ${command} `, "m"));
});

Deno.test("a command's help names its flags and no others", () => {
  for (const command of COMMANDS) {
    const named = commandHelp(command).matchAll(/^ {2}--(?:\[no-\])?([\w-]+)/gm);
    assert.deepEqual(Array.from(named, ([, flag]) => flag), optionNames(command).map(kebabCase));
  }
});

Deno.test("help tells values, bounds, aliases and the command's default", () => {
  const train = commandHelp("train");
  assert.match(train, /--loss-type sigmoid\|robust\|ipo\|hinge\n/);
  assert.match(train, /--train-layers all\|last-sixth\|N\n/);
  assert.match(train, /--\[no-\]shuffle\n +.*\(default: on\)/);
  assert.match(train, /--resume \[DIR\]\n/);
  assert.match(train, /--num-train-epochs N\n +.*\(also --epochs; above 0; default: 1\)/);
  assert.match(train, /--learning-rate N\n +.*default: 1e-6\)/);
  assert.match(commandHelp("sft"), /--learning-rate N\n +.*default: 2e-5\)/);
  assert.match(commandHelp("generate"), /--prompt-ids N,N,\.\.\.\n/);
});
