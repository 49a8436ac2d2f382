import type { Options } from "../config/resolve.ts";
import { localPorts } from "../platform/local_ports.ts";
import { changesInWords } from "../run/event_words.ts";
import type { Emit } from "../run/events.ts";
import { train } from "../run/train.ts";
import { type Context, Interrupted, lineWriter, type Output } from "./context.ts";
import { bringFromHub } from "./hub_files.ts";
import { openPushTarget, pushToHub } from "./hub_target.ts";
import { invocation } from "./invocation.ts";
import { RunPrinter } from "./run_printer.ts";

/** Direct Preference Optimization. */
export async function run(options: Options<"train">, context: Context<"train">): Promise<void> {
  const { stdout, stderr, signal, resolved } = context;
  const target = options.dryRun ? null : await openPushTarget(options);
  await bringFromHub(context);
  const say = lineWriter(stderr);
  const { finished, output, metrics } = await train(
    resolved,
    localPorts({ signal, say }),
    trainingPrinter(options, stderr),
  );
  if (options.dryRun) return say("dry run    nothing was trained");
  if (!finished) throw new Interrupted();
  if (options.json) stdout.write(`${JSON.stringify({ output, ...metrics.at(-1)! })}\n`);
  if (target) await pushToHub(target, output, context);
}

/** @returns What tells people of a training. */
export function trainingPrinter(options: Options<"train">, output: Output): Emit {
  const printer = new RunPrinter(output, {
    command: "train",
    verbose: options.verbose,
    loggingSteps: options.loggingSteps,
    shown: (metrics) => ({
      loss: metrics.loss,
      accuracy: metrics["rewards/accuracies"],
      // A step may have good answers alone, or bad ones.
      ..."rewards/margins" in metrics ? { margin: metrics["rewards/margins"] } : {},
    }),
  });
  const say = lineWriter(output);
  return (event) => {
    printer.show(event);
    if (event.type !== "saved") return;
    const { output, durationSeconds, changes } = event;
    say(
      `\nsaved      ${output} after ${durationSeconds.toFixed(0)} s${
        changesInWords(changes)
      }; curves: ${output}/report.html\n` +
        `next       ${invocation()} task generate --model ${output} --compare ${options.model}, or serve --model ${output}`,
    );
  };
}
