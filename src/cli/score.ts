import type { Options } from "../config/resolve.ts";
import { auditedUnit } from "../data/audit.ts";
import { localPorts } from "../platform/local_ports.ts";
import { countsInWords } from "../report/words.ts";
import { score } from "../run/score.ts";
import { type Context, lineWriter } from "./context.ts";
import { printDetails } from "./run_printer.ts";

/** Log-probabilities of every pair or single answer, and their rewards: one JSON line each, in dataset order. */
export async function run(options: Options<"score">, context: Context<"score">): Promise<void> {
  const { stdout, stderr, signal, resolved } = context;
  const say = lineWriter(stderr);
  const print = printDetails(context);
  await score(resolved, localPorts({ signal, say }), (event) => {
    print(event);
    if (event.type === "loaded") {
      const { counts, audit } = event.data;
      say(`${options.dataset}: ${countsInWords(counts, auditedUnit(audit!))}`);
    }
    if (event.type === "scored") stdout.write(`${JSON.stringify(event.score)}\n`);
  });
}
