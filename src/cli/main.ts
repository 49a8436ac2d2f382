/**
 * The one entry of the command line: `deno task train --help`. Finds the command, reads its options, wires interrupts,
 * and turns errors into exit codes: 0 done, 1 a defect of ours, 2 a mistake the user can mend, 130 interrupted.
 *
 * @module
 */
import { type Command, COMMANDS, type Options, resolveOptions } from "../config/resolve.ts";
import { nearestName } from "../config/values.ts";
import { UserError } from "../errors.ts";
import {
  type Context,
  type Input,
  Interrupted,
  lineWriter,
  type Output,
  processInput,
  processOutput,
} from "./context.ts";
import { parseFlags } from "./flags.ts";
import { commandHelp, overview } from "./help.ts";

/** What a module src/cli/<command>.ts exports. */
export interface CommandModule<C extends Command = Command> {
  run(options: Options<C>, context: Context<C>): Promise<void>;
}

/** The exit code that shells give to a program that the user interrupted. */
const INTERRUPTED = 130;

type Load = <C extends Command>(command: C) => Promise<CommandModule<C>>;

// Loaded on demand: `filter` needs no GPU code, and help needs nothing.
const loadModule: Load = (command) => import(`./${command}.ts`);

/**
 * @param words The command line: command and flags.
 * @param load Finds a command's module.
 * @param stdin What a person types or a program sends.
 * @returns The exit code.
 */
export async function main(
  words: readonly string[],
  stdout: Output,
  stderr: Output,
  load: Load = loadModule,
  stdin: Input = processInput(Deno.stdin),
): Promise<number> {
  try {
    return await dispatch(words, stdout, stderr, load, stdin);
  } catch (error) {
    if (error instanceof Interrupted) return INTERRUPTED;
    const mendable = error instanceof UserError;
    const text = error instanceof Error ? error.stack ?? error.message : String(error);
    stderr.write(`${mendable ? `error: ${error.message}` : text}\n`);
    return mendable ? 2 : 1;
  }
}

async function dispatch(
  [word, ...words]: readonly string[],
  stdout: Output,
  stderr: Output,
  load: Load,
  stdin: Input,
): Promise<number> {
  if (word === undefined || word === "--help" || word === "-h") {
    stdout.write(overview());
    return word === undefined ? 2 : 0;
  }
  const command = COMMANDS.find((name) => name === word);
  if (command === undefined) {
    throw new UserError(
      `Expected one of ${COMMANDS.join(", ")}, found "${word}": did you mean ${
        nearestName(word, COMMANDS)
      }?`,
    );
  }
  const { help, given } = parseFlags(words);
  if (help) {
    stdout.write(commandHelp(command));
    return 0;
  }
  const resolved = resolveOptions(command, { flags: given, file: await configFile(given) });
  if ("adapter" in resolved.options && resolved.options.adapter === "list") {
    await listAdapters(resolved.options, stdout, stderr);
    return 0;
  }
  if (resolved.withoutEffect?.length) {
    stderr.write(`config     without effect here: ${resolved.withoutEffect.join(", ")}\n`);
  }
  const module = await load(command);
  await withInterrupt(
    stderr,
    (signal) => module.run(resolved.options, { stdin, stdout, stderr, signal, resolved }),
  );
  return 0;
}

/** What `--adapter list` shows, whatever the command. */
async function listAdapters(
  options: Pick<Options<"eval">, "engine">,
  stdout: Output,
  stderr: Output,
): Promise<void> {
  const { adapterNames } = await import("../platform/device.ts");
  const names = await adapterNames(options, { say: lineWriter(stderr) });
  for (const [index, name] of names.entries()) stdout.write(`${index}: ${name}\n`);
}

async function configFile(
  given: readonly (readonly [spelling: string, value: unknown])[],
): Promise<{ name: string; content: unknown } | undefined> {
  const name = given.find(([spelling]) => spelling === "config")?.[1];
  if (typeof name !== "string") return undefined;
  try {
    const text = await Deno.readTextFile(name);
    if (!/\.ya?ml$/i.test(name)) return { name, content: JSON.parse(text) };
    const { load } = await import("js-yaml"); // few want it
    return { name, content: load(text, { filename: name }) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UserError(`Cannot read the configuration ${name}: ${reason}`);
  }
}

/** The first interrupt asks the command to finish; the second one ends the process at once. */
async function withInterrupt(
  stderr: Output,
  run: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const controller = new AbortController();
  const interrupt = () => {
    if (controller.signal.aborted) Deno.exit(INTERRUPTED);
    stderr.write("\nInterrupted: finishing the step; once more to stop at once\n");
    controller.abort();
  };
  Deno.addSignalListener("SIGINT", interrupt);
  try {
    await run(controller.signal);
  } finally {
    Deno.removeSignalListener("SIGINT", interrupt);
  }
}

/** Runs a command as the whole of the process: it ends with it, whatever a thread that hangs may still be doing. */
export async function runProcess(words: readonly string[], load?: Load): Promise<never> {
  Deno.exit(await main(words, processOutput(Deno.stdout), processOutput(Deno.stderr), load));
}

if (import.meta.main) await runProcess(Deno.args);
