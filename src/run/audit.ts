// This module is browser compatible.
import type { Options, Resolved } from "../config/resolve.ts";
import type { Audit } from "../data/audit.ts";
import type { PreferencePair } from "../data/pairs.ts";
import { UserError } from "../errors.ts";
import { scoreReference } from "../dpo/evaluate.ts";
import { suspectedFlips } from "../dpo/label_flips.ts";
import { Reference } from "../dpo/reference.ts";
import { type Checkpoint, loadReference } from "../model/load.ts";
import { readConfig } from "../model/directory.ts";
import type { DataRecord } from "../report/run_record.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { withoutCaches } from "./caches.ts";
import type { Emit } from "./events.ts";
import {
  dataOptions,
  heldOutDatasets,
  type LoadedPairs,
  loadPairsFrom,
  mainDataset,
  type NamedDataset,
  openModel,
  readAsFirstRow,
} from "./inputs.ts";
import type { Ports } from "./ports.ts";

/** What became of a dataset, and what is odd about it. */
export type AuditedData = DataRecord & { audit: Audit };

/**
 * Audits a preference dataset, of pairs or of single answers, and held-out data against it; with a reference, the labels of
 * pairs too. The model's tokens are audited; its weights are not read.
 *
 * @throws {UserError} If options, models or data do not fit together.
 */
export async function audit(
  { options }: Resolved<"inspect">,
  ports: Ports,
  emit: Emit,
): Promise<AuditedData[]> {
  const directory = await ports.openModelFiles(options.model);
  const [tokenizer, config] = [await loadTokenizer(directory), await readConfig(directory)];
  const named = mainDataset(options, "train");
  const data = await readAsFirstRow(named, dataOptions(options, { config }, options.score), ports);
  if (data.answers !== undefined && options.reference !== null) {
    throw new UserError(
      `Expected pairs for --reference, which doubts their labels, found single answers in ${named.path}: leave it out`,
    );
  }
  const caches = withoutCaches(ports, emit);
  const load = (named: NamedDataset, training?: readonly PreferencePair[]) =>
    loadPairsFrom(named, { directory, tokenizer }, data, caches, training);
  const train = await load(named);
  const datasets = [train];
  for (const named of heldOutDatasets(options)) datasets.push(await load(named, train.pairs));
  if (options.reference !== null) {
    return await auditLabels(options.reference, datasets, { config }, options, ports, emit);
  }
  return datasets.map(({ record }) => record);
}

/** With the labels that a reference doubts. */
async function auditLabels(
  referencePath: string,
  datasets: readonly LoadedPairs[],
  policy: Pick<Checkpoint, "config">,
  options: Options<"inspect">,
  ports: Ports,
  emit: Emit,
): Promise<AuditedData[]> {
  using stored = await openModel(referencePath, ports, emit);
  const { gpu: opened, precision } = await ports.openDevice(options);
  using gpu = opened;
  const loading = { precision, positions: options.maxLength };
  const loaded = await loadReference(gpu, policy, stored, loading);
  // Both in one, so that nothing is computed but the reference.
  const reference = new Reference(loaded, true);
  const audited: AuditedData[] = [];
  for (const { pairs, record } of datasets) {
    await scoreReference(loaded, reference, pairs, { scope: "completion", reduction: "sum" });
    const audit = { ...record.audit, suspectedFlips: suspectedFlips(reference, pairs) };
    audited.push({ ...record, audit });
  }
  return audited;
}
