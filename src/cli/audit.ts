/** The audit of preference data that `inspect --audit` shows. */
import type { Options } from "../config.ts";
import { kebabCase } from "../config/values.ts";
import type { Audit } from "../data/audit.ts";
import { percent } from "../data/filter_report.ts";
import type { PreferencePair } from "../data/pairs.ts";
import type { DataOptions } from "../data/prepare.ts";
import { scoreReference } from "../dpo/evaluate.ts";
import { suspectedFlips } from "../dpo/label_flips.ts";
import { Reference } from "../dpo/reference.ts";
import { loadReference } from "../engine.ts";
import { localPorts } from "../platform/local_ports.ts";
import { countsInWords, shapeInWords, unusedInWords } from "../report/words.ts";
import { type Caches, withoutCaches } from "../run/caches.ts";
import {
  heldOutDataset,
  type LoadedPairs,
  loadPairsFrom,
  mainDataset,
  type NamedDataset,
  openModel,
} from "../run/inputs.ts";
import type { StoredModel } from "../run/ports.ts";
import { type Context, lineWriter } from "./context.ts";
import { printDetails } from "./run_printer.ts";

/**
 * Audits a preference dataset, and held-out data against it; with a reference, their labels too.
 *
 * @param model Whose tokens are audited; its weights are not read.
 */
export async function showAudit(
  options: Options<"inspect">,
  model: Pick<StoredModel, "config" | "directory" | "tokenizer">,
  data: DataOptions,
  context: Context<"inspect">,
): Promise<number> {
  const { stderr, signal } = context;
  const caches = withoutCaches(
    localPorts({ signal, say: lineWriter(stderr) }),
    printDetails(context),
  );
  const load = (named: NamedDataset, training?: readonly PreferencePair[]) =>
    loadPairsFrom(named, model, data, caches, training);
  const train = await load(mainDataset(options, "train"));
  const heldOut = heldOutDataset(options);
  const datasets = [train, ...heldOut ? [await load(heldOut, train.pairs)] : []];
  const audits = options.reference === null
    ? datasets.map(({ record }) => record.audit)
    : await auditLabels(options.reference, datasets, model, options, caches);
  for (const [i, { record }] of datasets.entries()) {
    const { path, format, counts } = record;
    const audit = audits[i];
    context.stdout.write(
      options.json
        ? `${JSON.stringify({ path, format, counts, audit })}\n`
        : `${path}: ${countsInWords(counts)}; ${shapeInWords(record)}${unusedInWords(record)}\n${
          auditText(audit)
        }\n`,
    );
  }
  return 0;
}

/** The audits of datasets, with the labels that a reference doubts. */
async function auditLabels(
  referencePath: string,
  datasets: readonly LoadedPairs[],
  model: Pick<StoredModel, "config">,
  options: Options<"inspect">,
  { ports, emit }: Caches,
): Promise<Audit[]> {
  using stored = await openModel(referencePath, ports, emit);
  const { gpu, precision } = await ports.openDevice(options);
  const loading = { precision, positions: options.maxLength };
  const loaded = await loadReference(gpu, model, stored, loading);
  // Both in one, so that nothing is computed but the reference.
  const reference = new Reference(loaded, true);
  const audits: Audit[] = [];
  for (const { pairs, record } of datasets) {
    await scoreReference(loaded, reference, pairs, { scope: "completion", reduction: "sum" });
    audits.push({ ...record.audit, suspectedFlips: suspectedFlips(reference, pairs) });
  }
  return audits;
}

/** A line for each thing that an audit looks for, found or not. */
function auditText(audit: Audit): string {
  const line = (name: string, value: string, note = "") =>
    `  ${kebabCase(name).replaceAll("-", " ").padEnd(18)} ${value.padStart(8)}${note}\n`;
  return Object.entries(audit).map(([name, found]) => {
    if (name === "longerWins") return line(name, percent(found as number));
    if (typeof found === "number") return line(name, String(found));
    const others = found.count > found.rows.length ? ", ..." : "";
    const rows = found.count > 0 ? `  rows ${found.rows.join(", ")}${others}` : "";
    return line(name, String(found.count), rows);
  }).join("");
}
