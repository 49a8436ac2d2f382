import assert from "node:assert/strict";

/** A peer's exit code where a library is missing; what it says on stderr is the reason. */
const MISSING = 3;

/**
 * Asks a Python program, JSON on stdin and stdout. Which packages programs use is in peers.txt.
 *
 * @returns Its answer, or a string that says why it cannot be asked.
 */
export async function askPython<Answer>(
  script: URL,
  question: unknown,
  env: Record<string, string> = { HF_HUB_OFFLINE: "1", CUDA_VISIBLE_DEVICES: "" },
): Promise<Answer | string> {
  const found = await runPython(script, [], { input: JSON.stringify(question), env });
  return typeof found === "string" ? found : JSON.parse(found.stdout);
}

/**
 * @param exitCode That it must end with.
 * @returns What a Python program prints, or a string that says why it cannot be run.
 */
export async function runPython(
  script: URL,
  args: string[],
  { input = "", env = {} as Record<string, string>, exitCode = 0 } = {},
): Promise<{ stdout: string } | string> {
  const command = new Deno.Command("python3", {
    args: [script.pathname, ...args],
    env,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  });
  let process;
  try {
    process = command.spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "no python3";
    throw error;
  }
  const [output] = await Promise.all([
    process.output(),
    new Blob([input]).stream().pipeTo(process.stdin).catch(() => {}),
  ]);
  const stderr = new TextDecoder().decode(output.stderr);
  if (output.code === MISSING) return stderr.trim();
  assert.equal(output.code, exitCode, stderr);
  return { stdout: new TextDecoder().decode(output.stdout) };
}
