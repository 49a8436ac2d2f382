import type { Options } from "../config/resolve.ts";
import { auditInWords, flipsInWords } from "../data/audit.ts";
import { localPorts } from "../platform/local_ports.ts";
import { readable } from "../report/run_record.ts";
import { needsReference } from "../losses/losses.ts";
import { countsInWords, objectiveInWords, unitOfLoss } from "../report/words.ts";
import { evaluate, type EvaluationResult } from "../run/evaluate.ts";
import { type Context, Interrupted, lineWriter } from "./context.ts";
import { printDetails } from "./run_printer.ts";

/** Preference accuracy, margins and loss of a model against a reference. */
export async function run(options: Options<"eval">, context: Context<"eval">): Promise<void> {
  const { stdout, stderr, signal, resolved } = context;
  const say = lineWriter(stderr);
  const print = printDetails(context);
  const result = await evaluate(resolved, localPorts({ signal, say }), (event) => {
    print(event);
    if (event.type === "loaded") say(`loss       ${objectiveInWords(options, resolved.origins)}`);
  });
  if (result === null) throw new Interrupted();
  if (options.json) {
    const { metrics, ...rest } = result;
    stdout.write(`${JSON.stringify({ ...metrics, ...rest })}\n`);
  } else stdout.write(resultText(options, result));
}

function resultText(options: Options<"eval">, { metrics, counts, audit }: EvaluationResult) {
  const { model, reference, dataset } = options;
  const flips = audit.suspectedFlips;
  const width = Math.max(...Object.keys(metrics).map((name) => name.length));
  const findings = [auditInWords(audit), flips && flipsInWords(flips)].filter(Boolean);
  return [
    `${model} against ${
      needsReference(options) ? reference ?? "itself" : "no reference"
    } on ${dataset}: ${countsInWords(counts, unitOfLoss(options))}`,
    ...Object.entries(metrics).map(([name, value]) => `${name.padEnd(width)} ${readable(value)}`),
    ...findings.length > 0 ? [`audit: ${findings.join(", ")}`] : [],
    "",
  ].join("\n");
}
