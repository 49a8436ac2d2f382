/** Runs public commands in this process. */
import assert from "node:assert/strict";
import { main } from "../../src/cli/main.ts";
import { MemoryInput } from "../cli/input.ts";
import { MemoryOutput } from "../cli/output.ts";

export interface Answer {
  code: number;
  stdout: string;
  stderr: string;
}

const engine = Deno.env.get("SMOLDPO_ENGINE") ?? "deno";
const ON_DEVICE = ["train", "sweep", "sft", "eval", "score", "generate"];

const CACHING = ["train", "sweep", "sft", "eval", "score"];

/** Runs a command as from the command line, at f32 and without the user's cache unless the flags say otherwise, on the engine of the test run. */
export function run(command: string, ...flags: (string | number)[]): Promise<Answer> {
  return runWith(new MemoryInput(), command, ...flags);
}

/** {@link run} with something to read. */
export async function runWith(
  stdin: MemoryInput,
  command: string,
  ...flags: (string | number)[]
): Promise<Answer> {
  const stdout = new MemoryOutput();
  const stderr = new MemoryOutput();
  const onDevice = ON_DEVICE.includes(command) ||
    command === "inspect" && flags.includes("--reference") && flags.includes("--audit");
  const device = onDevice ? ["--engine", engine] : [];
  if (device.length > 0 && !flags.includes("--precision")) device.push("--precision", "f32");
  // What an earlier test computed must not stand in for what this one does.
  if (CACHING.includes(command) && !flags.includes("--cache-dir")) device.push("--no-cache");
  const words = [command, ...device, ...flags.map(String)];
  const code = await main(words, stdout, stderr, undefined, stdin);
  return { code, stdout: stdout.text, stderr: stderr.text };
}

/** {@link run} for a command that must succeed. */
export async function runOk(command: string, ...flags: (string | number)[]): Promise<Answer> {
  const answer = await run(command, ...flags);
  assert.equal(answer.code, 0, answer.stderr);
  return answer;
}

/** The objects in lines of JSON. */
export function jsonLines<T>(text: string): T[] {
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

/** Gives `body` a directory that is gone afterwards. */
export async function inTemporaryDirectory(
  body: (path: string) => Promise<void>,
): Promise<void> {
  const path = await Deno.makeTempDir();
  try {
    await body(path);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}
