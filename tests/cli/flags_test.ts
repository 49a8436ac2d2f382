import assert from "node:assert/strict";
import { parseFlags } from "../../src/cli/flags.ts";
import { UserError } from "../../src/errors.ts";

const given = (line: string) => parseFlags(line.split(" ")).given;

Deno.test("values follow a space or an equals sign", () => {
  assert.deepEqual(given("--beta 0.1 --max_length=96"), [["beta", "0.1"], ["max_length", "96"]]);
  assert.deepEqual(given("--max-steps -1"), [["max-steps", "-1"]]);
  assert.deepEqual(parseFlags(["--prompt=--help", "--prompt="]).given, [
    ["prompt", "--help"],
    ["prompt", ""],
  ]);
  assert.deepEqual(parseFlags(["--prompt=a=b\nc"]).given, [["prompt", "a=b\nc"]]);
});

Deno.test("switches stand alone, take true or false, and are negated by no-", () => {
  assert.deepEqual(given("--json --no-shuffle --no_decay_norms"), [
    ["json", true],
    ["shuffle", false],
    ["decay_norms", false],
  ]);
  assert.deepEqual(given("--shuffle False --json=true"), [["shuffle", "False"], ["json", "true"]]);
  assert.throws(() => given("--json yes"), {
    name: "UserError",
    message: 'Expected flags such as --model DIR, found "yes"',
  });
});

Deno.test("resume may stand bare", () => {
  assert.deepEqual(given("--resume --json"), [["resume", "latest"], ["json", true]]);
  assert.deepEqual(given("--resume runs/a"), [["resume", "runs/a"]]);
  assert.deepEqual(given("--resume"), [["resume", "latest"]]);
});

Deno.test("a flag without its value does not swallow the next flag", () => {
  assert.deepEqual(given("--model --json"), [["model", undefined], ["json", true]]);
  assert.deepEqual(given("--beta"), [["beta", undefined]]);
});

Deno.test("unknown flags pass through with the word behind them, to be named by the resolver", () => {
  assert.deepEqual(given("--betta 0.1 --no-beta --x"), [
    ["betta", "0.1"],
    ["no-beta", undefined],
    ["x", undefined],
  ]);
});

Deno.test("words that are no flags are refused", () => {
  assert.throws(() => given("--beta 1 model"), UserError);
  assert.throws(() => given("-x"), UserError);
  assert.throws(() => given("--"), UserError);
});

Deno.test("help is asked for in two ways", () => {
  assert.equal(parseFlags(["--beta", "1", "-h"]).help, true);
  assert.equal(parseFlags(["--help"]).help, true);
  assert.equal(parseFlags([]).help, false);
});
