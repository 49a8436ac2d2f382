/** A program for main_test.ts: a command that interrupts itself as often as its argument says, then saves. */
import { type Context, Interrupted } from "../../src/cli/context.ts";
import { runProcess } from "../../src/cli/main.ts";

const module = {
  async run(_: unknown, { signal, stdout }: Context) {
    const aborted = new Promise((resolve) => signal.addEventListener("abort", resolve));
    Deno.kill(Deno.pid, "SIGINT");
    await aborted;
    if (Deno.args[0] === "2") {
      Deno.kill(Deno.pid, "SIGINT");
      // The second interrupt ends the process while the command still waits.
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    }
    stdout.write("saved\n");
    throw new Interrupted();
  },
};

// deno-lint-ignore no-explicit-any -- one module stands in for every command's
await runProcess(["train"], () => Promise.resolve(module as any));
