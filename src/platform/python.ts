import { UserError } from "../errors.ts";

/** A Python program that answers a line of JSON with a line of JSON, until it is disposed of. */
export interface PythonProgram extends AsyncDisposable {
  /** What it said when it was ready. */
  hello: unknown;
  /** @throws {UserError} If the program ends instead, with what it said last. */
  ask(question: unknown): Promise<unknown>;
}

/** The one on the path, and the system's, which has Debian's packages. */
const PYTHONS = ["python3", "/usr/bin/python3"];
/** A program's exit code where a library is missing; what it says on stderr is the reason. */
const MISSING = 3;

/**
 * Starts a program of ours with the first Python that has its libraries.
 *
 * @returns The program, or why there is none.
 */
export async function startPython(
  script: URL,
  pythons: readonly string[] = PYTHONS,
): Promise<PythonProgram | { missing: string }> {
  const reasons = new Set<string>();
  for (const python of pythons) {
    const started = await start(python, script);
    if ("missing" in started) reasons.add(`${python}: ${started.missing}`);
    else return started;
  }
  return { missing: [...reasons].join("; ") };
}

async function start(
  python: string,
  script: URL,
): Promise<PythonProgram | { missing: string }> {
  let process: Deno.ChildProcess;
  try {
    const [stdin, stdout, stderr] = ["piped", "piped", "piped"] as const;
    process = new Deno.Command(python, { args: [script.pathname], stdin, stdout, stderr }).spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { missing: "not found" };
    throw error;
  }
  const questions = process.stdin.getWriter();
  const answers = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const complaints = new Response(process.stderr).text();
  const answer = async () => {
    let line = "";
    while (!line.endsWith("\n")) {
      const { value, done } = await answers.read();
      if (done) return undefined;
      line += value;
    }
    return JSON.parse(line);
  };
  const failure = async () => (await complaints).trim().split("\n").at(-1)!;

  const hello = await answer();
  if (hello === undefined) {
    const { code } = await process.status;
    questions.releaseLock();
    if (code === MISSING) return { missing: await failure() };
    throw new UserError(`${python} ${script.pathname} failed: ${await failure()}`);
  }
  return {
    hello,
    async ask(question) {
      await questions.write(new TextEncoder().encode(`${JSON.stringify(question)}\n`));
      const found = await answer();
      if (found === undefined) {
        throw new UserError(`${python} ${script.pathname} failed: ${await failure()}`);
      }
      return found;
    },
    async [Symbol.asyncDispose]() {
      await questions.close().catch(() => {}); // it ends at the end of its input
      await process.status;
    },
  };
}
