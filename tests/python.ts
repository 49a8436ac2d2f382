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
  const command = new Deno.Command("python3", {
    args: [script.pathname],
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
    new Blob([JSON.stringify(question)]).stream().pipeTo(process.stdin).catch(() => {}),
  ]);
  const stderr = new TextDecoder().decode(output.stderr);
  if (output.code === MISSING) return stderr.trim();
  assert.equal(output.code, 0, stderr);
  return JSON.parse(new TextDecoder().decode(output.stdout));
}
