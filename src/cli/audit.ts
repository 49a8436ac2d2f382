/** The audit of preference data that `inspect --audit` shows. */
import type { Options } from "../config/resolve.ts";
import { kebabCase } from "../config/values.ts";
import { type Audit, auditedUnit } from "../data/audit.ts";
import { percent } from "../data/filter_report.ts";
import { localPorts } from "../platform/local_ports.ts";
import { countsInWords, shapeInWords, unusedInWords } from "../report/words.ts";
import { audit } from "../run/audit.ts";
import { type Context, lineWriter } from "./context.ts";
import { printDetails } from "./run_printer.ts";

/** Audits a preference dataset, and held-out data against it; with a reference, their labels too. */
export async function showAudit(
  options: Options<"inspect">,
  context: Context<"inspect">,
): Promise<void> {
  const { stdout, stderr, signal, resolved } = context;
  const ports = localPorts({ signal, say: lineWriter(stderr) });
  for (const record of await audit(resolved, ports, printDetails(context))) {
    const { path, format, counts, audit } = record;
    stdout.write(
      options.json
        ? `${JSON.stringify({ path, format, counts, audit })}\n`
        : `${path}: ${countsInWords(counts, auditedUnit(audit))}; ${shapeInWords(record)}${
          unusedInWords(record)
        }\n${auditText(audit)}\n`,
    );
  }
}

/** A line for each thing that an audit looks for, found or not; `pairs` are answers where those were audited. */
function auditText(audit: Audit): string {
  const line = (name: string, value: string, note = "") => {
    const words = kebabCase(name).replaceAll("-", " ").replace("pairs", auditedUnit(audit));
    return `  ${words.padEnd(18)} ${value.padStart(8)}${note}\n`;
  };
  return Object.entries(audit).map(([name, found]) => {
    if (name === "longerWins") return line(name, percent(found as number));
    if (typeof found === "number") return line(name, String(found));
    const others = found.count > found.rows.length ? ", ..." : "";
    const rows = found.count > 0 ? `  rows ${found.rows.join(", ")}${others}` : "";
    return line(name, String(found.count), rows);
  }).join("");
}
