import assert from "node:assert/strict";

/** Prints the first module of its arguments that Python does not find. */
const FIRST_MISSING = `import importlib.util, sys
print(next((m for m in sys.argv[1:] if importlib.util.find_spec(m) is None), ""))`;

/**
 * @param modules That a test's Python program imports. Their packages are in peers.txt.
 * @returns The first thing that this machine lacks, for {@link unless}; null if nothing.
 */
export async function lackOfPython(...modules: string[]): Promise<string | null> {
  const command = new Deno.Command("python3", { args: ["-c", FIRST_MISSING, ...modules] });
  let output;
  try {
    output = await command.output();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "no python3";
    throw error;
  }
  const missing = new TextDecoder().decode(output.stdout).trim();
  return missing === "" ? null : `No module named '${missing}'`;
}

/**
 * Asks a Python program, JSON on stdin and stdout.
 *
 * @returns Its answer.
 */
export async function askPython<Answer>(
  script: URL,
  question: unknown,
  env: Record<string, string> = { HF_HUB_OFFLINE: "1", CUDA_VISIBLE_DEVICES: "" },
): Promise<Answer> {
  return JSON.parse(await runPython(script, [], { input: JSON.stringify(question), env }));
}

/**
 * @param exitCode That it must end with.
 * @returns What a Python program prints.
 */
export async function runPython(
  script: URL,
  args: string[],
  { input = "", env = {} as Record<string, string>, exitCode = 0 } = {},
): Promise<string> {
  const process = new Deno.Command("python3", {
    args: [script.pathname, ...args],
    env,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const [output] = await Promise.all([
    process.output(),
    new Blob([input]).stream().pipeTo(process.stdin).catch(() => {}),
  ]);
  const stderr = new TextDecoder().decode(output.stderr);
  assert.equal(output.code, exitCode, stderr);
  return new TextDecoder().decode(output.stdout);
}
