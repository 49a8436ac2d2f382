// This module is browser compatible.
/**
 * The distance to what a CPU is capable of: products against numpy's BLAS, and the default training step against eager
 * PyTorch, padded and with its own reference. Both sides take turns in one run, and both must compute the same.
 *
 * @module
 */
import { resolveOptions } from "../config/resolve.ts";
import type { PreferencePair } from "../data/pairs.ts";
import { Reference } from "../dpo/reference.ts";
import type { Checkpoint } from "../model/load.ts";
import { startDpo } from "../train/training.ts";
import type { Gpu } from "../gpu/device.ts";
import { Readback } from "../gpu/readback.ts";
import { matmulForward } from "../kernels/matmul.ts";
import type { Operand } from "../kernels/shapes.ts";
import { trainingStep } from "../train/step.ts";
import { BenchTensors } from "./bench_tensors.ts";
import { Stopwatch } from "./timing.ts";

/** Answers a question as src/bench/peers.py does. */
export interface Peer {
  hello: unknown;
  ask(question: unknown): Promise<unknown>;
}

/** What the peers are. */
export interface PeerVersions {
  numpy: string;
  /** The library that multiplies for numpy; null where the system does not tell. */
  blas: string | null;
  torch: string;
  threads: number;
}

export interface PeerSizes {
  /** Of matrix products: rows x outputs x inputs. */
  products: { name: string; M: number; N: number; K: number }[];
  /** Turns of both sides. The fastest counts: what else the machine does only slows, and a thread pool more than others. */
  turns: number;
  /** Steps in a turn. */
  steps: number;
}

export interface PeerSpeed {
  versions: PeerVersions;
  /** GFLOP/s of both. */
  products: { shape: string; ours: number; theirs: number; ratio: number }[];
  /** Milliseconds of both; the ratio is of speeds. */
  step: { pairs: number; ours: number; theirs: number; ratio: number };
}

/** What the step trains: a model directory for the peer, its checkpoint for us, and some pairs. */
export interface PeerTraining {
  directory: string;
  checkpoint: Checkpoint;
  pairs: readonly PreferencePair[];
}

/** @throws {Error} If the two do not compute the same. */
export async function benchPeers(
  gpu: Gpu,
  precision: Operand,
  peer: Peer,
  { products, turns, steps }: PeerSizes,
  training: PeerTraining,
): Promise<PeerSpeed> {
  const versions = peer.hello as PeerVersions;
  const speeds: PeerSpeed["products"] = [];
  for (const { name, ...shape } of products) {
    const { ours, theirs } = await product(gpu, precision, peer, shape, turns);
    const { M, N, K } = shape;
    speeds.push({ shape: `${name} ${M} x ${N} x ${K}`, ours, theirs, ratio: ours / theirs });
  }
  const { ours, theirs } = await step(gpu, precision, peer, training, { turns, steps });
  const { length: pairs } = training.pairs;
  return { versions, products: speeds, step: { pairs, ours, theirs, ratio: theirs / ours } };
}

async function product(
  gpu: Gpu,
  precision: Operand,
  peer: Peer,
  { M, N, K }: { M: number; N: number; K: number },
  turns: number,
) {
  const bench = new BenchTensors(gpu, precision);
  try {
    const [x, w] = [bench.operand([M, K]), bench.operand([N, K], 0.1)];
    const y = bench.zeros(precision, [M, N]);
    const stopwatch = new Stopwatch(gpu);
    await peer.ask({ what: "product", rows: M, outputs: N, inputs: K });
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let turn = 0; turn < turns; turn++) {
      ours.push(await stopwatch.measure((c) => matmulForward(c, y, x.tensor, w.tensor), 1));
      theirs.push((await peer.ask({ what: "multiply" }) as Turn).milliseconds);
    }
    const gflops = (times: number[]) => 2 * M * N * K / Math.min(...times) / 1e6;
    return { ours: gflops(ours), theirs: gflops(theirs) };
  } finally {
    bench.release();
  }
}

/** Steps of one side: milliseconds of one, and what all of them computed. */
interface StepTurn extends Turn {
  losses: number[];
  norms: number[];
}

interface Turn {
  milliseconds: number;
}

const LEARNING_RATE = 1e-4;
/** Relative, of losses and gradient norms. */
const TOLERANCE = { f32: 1e-3, f16: 2e-2 };

async function step(
  gpu: Gpu,
  precision: Operand,
  peer: Peer,
  { directory, checkpoint, pairs }: PeerTraining,
  { turns, steps }: Pick<PeerSizes, "turns" | "steps">,
) {
  const { options } = resolveOptions("train", { flags: [["batch-size", String(pairs.length)]] });
  const { model, optimizer, run, steps: make } = await startDpo(
    gpu,
    checkpoint,
    null,
    pairs,
    options,
    precision,
  );
  using readback = new Readback(gpu);
  const once = async () => {
    run.reference = new Reference(run.reference!.model, run.reference!.sharesTrunk); // a first epoch's step
    const { microBatches, metrics } = make(Uint32Array.from(pairs.keys()), readback);
    const report = trainingStep(model, optimizer, microBatches, LEARNING_RATE, readback);
    await readback.fetch();
    return { loss: metrics().loss, norm: report().norm };
  };
  const turn = async (): Promise<StepTurn> => {
    const done = [await once()];
    const began = performance.now();
    for (let i = 0; i < steps; i++) done.push(await once());
    const milliseconds = (performance.now() - began) / steps;
    return {
      milliseconds,
      losses: done.map(({ loss }) => loss),
      norms: done.map(({ norm }) => norm),
    };
  };
  await peer.ask({
    what: "training",
    model: directory,
    pairs: pairs.map(({ chosen, rejected }) => ({
      chosen: { ...chosen, ids: [...chosen.ids] },
      rejected: { ...rejected, ids: [...rejected.ids] },
    })),
    beta: options.beta,
    learning_rate: LEARNING_RATE,
  });
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let i = 0; i < turns; i++) {
    const our = await turn();
    const their = await peer.ask({ what: "steps", count: steps }) as StepTurn;
    if (i === 0) checkAlike(our, their, TOLERANCE[precision]);
    ours.push(our.milliseconds);
    theirs.push(their.milliseconds);
  }
  return { ours: Math.min(...ours), theirs: Math.min(...theirs) };
}

function checkAlike(ours: StepTurn, theirs: StepTurn, tolerance: number): void {
  for (const what of ["losses", "norms"] as const) {
    const alike = ours[what].every((value, i) =>
      Math.abs(value - theirs[what][i]) <= tolerance * Math.abs(theirs[what][i])
    );
    if (alike) continue;
    throw new Error(
      `The peer's steps are other ones, so their speed means nothing: ${what} ${
        theirs[what].join(", ")
      }, ours ${ours[what].join(", ")}`,
    );
  }
}
