import type { Options, Resolved } from "../config.ts";
import { localPorts } from "../platform/local_ports.ts";
import { changesInWords } from "../run/event_words.ts";
import { train } from "../run/train.ts";
import { type Context, Interrupted, lineWriter } from "./context.ts";
import { invocation } from "./invocation.ts";
import { bringFromHub } from "./hub_files.ts";
import { openPushTarget, pushToHub } from "./hub_target.ts";
import { RunPrinter } from "./run_printer.ts";

/** Direct Preference Optimization. */
export async function run(_: Options<"train">, context: Context<"train">): Promise<void> {
  await trainAndTell(context.resolved, context);
}

/** Trains, and tells of it. @throws {Interrupted} If the user interrupted it. */
export async function trainAndTell(
  resolved: Resolved<"train">,
  { stdout, stderr, signal }: Pick<Context, "stdout" | "stderr" | "signal">,
): Promise<void> {
  const { options } = resolved;
  const context = { stderr, signal, resolved };
  const target = options.dryRun ? null : await openPushTarget(options);
  await bringFromHub(context);
  const say = lineWriter(stderr);
  const printer = new RunPrinter(stderr, {
    command: "train",
    verbose: options.verbose,
    loggingSteps: options.loggingSteps,
    shown: (metrics) => ({
      loss: metrics.loss,
      accuracy: metrics["rewards/accuracies"],
      margin: metrics["rewards/margins"],
    }),
  });
  const { finished, output, metrics } = await train(
    resolved,
    localPorts({ signal, say }),
    (event) => {
      printer.show(event);
      if (event.type !== "saved") return;
      const { output, durationSeconds, changes } = event;
      say(
        `\nsaved      ${output} after ${durationSeconds.toFixed(0)} s${
          changesInWords(changes)
        }; curves: ${output}/report.html\n` +
          `next       ${invocation()} task generate --model ${output} --compare ${options.model}, or serve --model ${output}`,
      );
    },
  );
  if (options.dryRun) return say("dry run    nothing was trained");
  if (!finished) throw new Interrupted();
  if (options.json) stdout.write(`${JSON.stringify({ output, ...metrics.at(-1)! })}\n`);
  if (target) await pushToHub(target, output, context);
}
