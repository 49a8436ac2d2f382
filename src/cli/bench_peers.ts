import { benchPeers, type PeerSizes, type PeerSpeed } from "../bench/peers.ts";
import { table } from "../bench/table.ts";
import { resolveOptions } from "../config/resolve.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Operand } from "../kernels/shapes.ts";
import { startPython } from "../platform/python.ts";
import { type Context, lineWriter } from "./context.ts";
import { localPorts } from "../platform/local_ports.ts";
import { withoutCaches } from "../run/caches.ts";
import { dataOptions, loadPairsFrom, mainDataset, openModel } from "../run/inputs.ts";
import { printDetails } from "./run_printer.ts";

const PROGRAM = new URL("../bench/peers.py", import.meta.url);
const HOW_TO_GET_THEM = "on Debian: apt install python3-torch python3-numpy libopenblas0-pthread";

/** What was measured, or why it was not. */
export type PeerReport = PeerSpeed | { missing: string };

/** The default training step (the shipped model and its first 8 pairs) and products beside a Python of this machine. */
export async function measurePeers(
  gpu: Gpu,
  precision: Operand,
  sizes: PeerSizes,
  { stderr }: Pick<Context, "stderr">,
): Promise<PeerReport> {
  const peer = await startPython(PROGRAM);
  if ("missing" in peer) return { missing: `${peer.missing} (${HOW_TO_GET_THEM})` };
  await using asked = peer;
  const { options } = resolveOptions("train", {
    flags: [["dataset", "fixtures/pairs/train.jsonl[:8]"]],
  });
  const ports = localPorts({ say: lineWriter(stderr) });
  const emit = printDetails({ stderr });
  using model = await openModel(options.model, ports, emit);
  const data = dataOptions(options, model, options.score);
  const named = mainDataset(options, "train");
  const { pairs } = await loadPairsFrom(named, model, data, withoutCaches(ports, emit));
  const training = { directory: options.model, checkpoint: model, pairs };
  return await benchPeers(gpu, precision, asked, sizes, training);
}

/** The report for people: ratios above 1 mean that we are faster. */
export function peersText(report: PeerReport): string {
  const title = "\nPeers on this machine's CPU, in turns\n";
  if ("missing" in report) return `${title}not measured: ${report.missing}\n`;
  const { versions, products, step } = report;
  const { blas } = versions;
  const library = blas === null ? "a BLAS that this system does not tell" : blas;
  const slow = blas === null || /openblas|mkl/i.test(blas)
    ? ""
    : ", which is slow: apt install libopenblas0-pthread";
  const mean = Math.exp(
    products.reduce((sum, { ratio }) => sum + Math.log(ratio), 0) / products.length,
  );
  const rows = [...products, { shape: "geometric mean", ours: null, theirs: null, ratio: mean }];
  return title + table(rows, [
    { head: "matmul_forward", cell: ({ shape }) => shape },
    { head: "GFLOP/s", cell: ({ ours }) => ours, digits: 1 },
    { head: "numpy", cell: ({ theirs }) => theirs, digits: 1 },
    { head: "ratio", cell: ({ ratio }) => ratio, digits: 3 },
  ]) + table([step], [
    { head: "default train step", cell: ({ pairs }) => `${pairs} pairs of the shipped data` },
    { head: "ms", cell: ({ ours }) => ours, digits: 0 },
    { head: "PyTorch", cell: ({ theirs }) => theirs, digits: 0 },
    { head: "ratio", cell: ({ ratio }) => ratio, digits: 3 },
  ]) + `numpy       ${versions.numpy} with ${library}${slow}\n` +
    `PyTorch     ${versions.torch}, eager, padded, with its own reference, ${versions.threads} threads\n`;
}
