import type { Options } from "../config/resolve.ts";
import { localPorts } from "../platform/local_ports.ts";
import { sft } from "../run/sft.ts";
import { type Context, Interrupted, lineWriter } from "./context.ts";
import { invocation } from "./invocation.ts";
import { bringFromHub } from "./hub_files.ts";
import { openPushTarget, pushToHub } from "./hub_target.ts";
import { RunPrinter } from "./run_printer.ts";

/** Next-token training: where DPO's starting model comes from. */
export async function run(options: Options<"sft">, context: Context<"sft">): Promise<void> {
  const { stdout, stderr, signal, resolved } = context;
  const target = options.dryRun ? null : await openPushTarget(options);
  await bringFromHub(context);
  const say = lineWriter(stderr);
  const printer = new RunPrinter(stderr, {
    command: "sft",
    verbose: options.verbose,
    loggingSteps: options.loggingSteps,
    shown: ({ loss }) => ({ loss }),
  });
  const { finished, output, metrics } = await sft(
    resolved,
    localPorts({ signal, say }),
    (event) => {
      printer.show(event);
      if (event.type === "evaluated") {
        const losses = Object.entries(event.metrics).filter(([name]) =>
          /^eval_(.+_)?loss$/.test(name)
        )
          .map(([name, loss]) => `${name.slice("eval_".length)} ${loss.toFixed(4)}`);
        say(`held out   ${losses.join(", ")} after step ${event.metrics.step}`);
      }
      if (event.type === "saved" && !options.json) {
        say(`saved      ${event.output} after ${event.durationSeconds} s`);
        say(`next       align it: ${invocation()} task train --model ${event.output}`);
      }
    },
  );
  if (options.dryRun) return say("dry run    nothing was trained");
  if (!finished) throw new Interrupted();
  if (options.json) stdout.write(`${JSON.stringify({ output, ...metrics.at(-1)! })}\n`);
  if (target) await pushToHub(target, output, context);
}
