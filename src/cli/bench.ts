import { benchKernels, type KernelSpeed } from "../bench/kernels.ts";
import { benchDecode, type DecodeSpeed } from "../bench/decode.ts";
import { benchLadder, type RungSpeed } from "../bench/ladder.ts";
import { benchLoad, type LoadSpeed } from "../bench/load.ts";
import { benchSharing, type SharingSpeed } from "../bench/sharing.ts";
import { type BenchSizes, sizesFor } from "../bench/sizes.ts";
import { benchStep, type StepSpeed } from "../bench/step.ts";
import { table } from "../bench/table.ts";
import type { Options } from "../config/resolve.ts";
import type { DeviceInfo, Gpu } from "../gpu/device.ts";
import type { KernelTime } from "../gpu/profiler.ts";
import type { Operand } from "../kernels/shapes.ts";
import { deviceClass } from "../kernels/tuning.ts";
import { readConfig } from "../model/directory.ts";
import { currentCommit } from "../platform/commit.ts";
import { openModelAt, openModelFiles } from "../platform/models.ts";
import { measurePeers, type PeerReport, peersText } from "./bench_peers.ts";
import { type Context, lineWriter } from "./context.ts";
import { openDevice } from "../platform/device.ts";
import { featuresInWords } from "../report/words.ts";

/** All that a benchmark run says: what `--json` prints. Parts that were not asked for are missing. */
export interface BenchReport {
  date: string;
  /** null outside of a git checkout. */
  commit: string | null;
  device: DeviceInfo;
  features: Gpu["features"];
  precision: Operand;
  kernels?: { clock: string; speeds: KernelSpeed[] };
  steps?: StepSpeed[];
  ladder?: { model: string; rungs: RungSpeed[] };
  decode?: DecodeSpeed[];
  sharing?: { name: string; speeds: SharingSpeed[] };
  load?: LoadSpeed;
  peers?: PeerReport;
}

type Streams = Pick<Context<"bench">, "stdout" | "stderr">;

/**
 * Measures kernels, training step, the ladder of ideas, decoding, training beside answers, loading, and peers. Weights
 * are random but for the last two, as speed does not depend on them.
 *
 * @param sizes What to measure; by default what suits the device.
 */
export async function run(
  options: Options<"bench">,
  streams: Streams,
  sizes?: BenchSizes,
): Promise<void> {
  const opening = { say: lineWriter(streams.stderr) };
  const device = await openDevice(options, opening);
  const { info, features } = device.gpu;
  device.gpu.close();
  const config = await readConfig(await openModelFiles(options.model));
  const { kernels, steps, ladder, decode, sharing, peers } = sizes ??
    sizesFor(deviceClass(device.gpu) !== "gpu", config);
  const report: BenchReport = {
    date: new Date().toISOString(),
    commit: await currentCommit(),
    device: info,
    features,
    precision: device.precision,
  };
  const say = (text: string) => (options.json ? streams.stderr : streams.stdout).write(text);
  const asked = (suite: typeof options.suite) => ["all", suite].includes(options.suite);

  // Each part gets a device of its own, which frees all that it allocated.
  const onDevice = async <T>(measure: (gpu: Gpu, precision: Operand) => Promise<T>): Promise<T> => {
    const { gpu, precision } = await openDevice(options, opening);
    try {
      return await measure(gpu, precision);
    } finally {
      gpu.close();
    }
  };

  say(headerText(report));
  if (asked("kernels")) {
    report.kernels = await onDevice((gpu, precision) => benchKernels(gpu, precision, kernels));
    say(kernelText(report.kernels));
  }
  if (asked("step")) {
    report.steps = [];
    for (const step of steps) {
      const speed = await onDevice((gpu, precision) => benchStep(gpu, precision, step));
      report.steps.push(speed);
      say(stepText(speed));
    }
  }
  if (asked("ladder")) {
    const { hiddenSize, numLayers, vocabSize } = ladder.config;
    const rungs = await onDevice((gpu, precision) => benchLadder(gpu, precision, ladder));
    const model = `${numLayers} layers of ${hiddenSize}, vocabulary ${vocabSize}`;
    report.ladder = { model, rungs };
    say(ladderText(report.ladder));
  }
  if (asked("decode")) {
    report.decode = [];
    for (const model of decode) {
      const speeds = await onDevice((gpu, precision) => benchDecode(gpu, precision, model));
      report.decode.push(...speeds);
    }
    say(decodeText(report.decode));
  }
  if (asked("sharing")) {
    const speeds = await onDevice((answers, precision) =>
      onDevice((wholeSteps) =>
        onDevice((stepsInTurns) =>
          benchSharing({ answers, wholeSteps, stepsInTurns }, precision, sharing)
        )
      )
    );
    report.sharing = { name: sharing.name, speeds };
    say(sharingText(report.sharing));
  }
  if (asked("load")) {
    const open = () => openModelAt(options.model);
    report.load = await onDevice((gpu, precision) => benchLoad(gpu, precision, open));
    say(loadText(options.model, report.load));
  }
  if (asked("peers")) {
    report.peers = await onDevice((gpu, precision) => measurePeers(gpu, precision, peers, streams));
    say(peersText(report.peers));
  }
  if (options.json) streams.stdout.write(`${JSON.stringify(report)}\n`);
}

function headerText({ date, commit, device, features, precision }: BenchReport): string {
  const { description, engine, vendor, software } = device;
  return `device     ${description} (vendor ${vendor || "unknown"}, engine ${engine}; ${
    featuresInWords(features)
  })\n` +
    `precision  ${precision}\n` +
    `commit     ${commit ?? "unknown"}, ${date}\n` +
    (software
      ? "sizes      few rows and small models: this adapter is a CPU. On a GPU everything is SmolLM-135M\n"
      : "");
}

function kernelText({ clock, speeds }: NonNullable<BenchReport["kernels"]>): string {
  const title = `\nKernels (SmolLM-135M's shapes, rows x outputs x inputs; median by ${clock})\n`;
  return title + table(speeds, [
    { head: "kernel", cell: ({ kernel }) => kernel },
    { head: "shape", cell: ({ shape }) => shape },
    { head: "ms", cell: ({ milliseconds }) => milliseconds, digits: 3 },
    { head: "GFLOP/s", cell: ({ gflops }) => gflops, digits: 1 },
    { head: "GB/s", cell: ({ gbps }) => gbps, digits: 2 },
  ]);
}

function stepText(step: StepSpeed): string {
  const { name, pairs, tokens, packedTokens, kernels } = step;
  const number = (value: number) => value.toLocaleString("en", { maximumFractionDigits: 1 });
  const speed = step.milliseconds === null
    ? "recorded, not run: too slow for this adapter"
    : `${number(step.milliseconds)} ms, ${number(step.tokensPerSecond!)} tokens/s, ${
      number(step.pairsPerSecond!)
    } pairs/s`;
  return `\nTraining step, ${step.recipe} (${name})\n` +
    `weights     ${number(step.parameters.trained)} of ${number(step.parameters.total)} train\n` +
    `batch       ${pairs} pairs, ${number(tokens)} tokens, ${number(packedTokens)} computed\n` +
    `time        ${speed}\n` +
    `JavaScript  packing ${number(step.packMilliseconds)} ms, recording ${
      number(step.recordMilliseconds)
    } ms\n` +
    `GPU memory  ${number(step.memoryBytes / 1e9)} GB at most\n` +
    (kernels ? kernelShares(kernels) : "");
}

function kernelShares(kernels: KernelTime[]): string {
  const total = kernels.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  return table(kernels, [
    { head: "kernel", cell: ({ kernel }) => kernel },
    { head: "dispatches", cell: ({ dispatches }) => dispatches, digits: 0 },
    { head: "ms", cell: ({ milliseconds }) => milliseconds, digits: 2 },
    { head: "%", cell: ({ milliseconds }) => 100 * milliseconds / total, digits: 1 },
  ]);
}

function ladderText({ model, rungs }: NonNullable<BenchReport["ladder"]>): string {
  return `\nWhat each idea saves (${model}; pairs with the lengths of HH-RLHF)\n` + table(rungs, [
    { head: "step", cell: ({ rung }) => rung },
    { head: "GFLOP", cell: ({ gigaflop }) => gigaflop, digits: 1 },
    { head: "ms", cell: ({ milliseconds }) => milliseconds, digits: 0 },
    { head: "predicted", cell: ({ predictedSpeedup }) => predictedSpeedup, digits: 2 },
    { head: "measured", cell: ({ measuredSpeedup }) => measuredSpeedup, digits: 2 },
    { head: "gain", cell: ({ predictedGain }) => predictedGain, digits: 2 },
    { head: "measured", cell: ({ measuredGain }) => measuredGain, digits: 2 },
    { head: "of it", cell: ({ realized }) => realized, digits: 2 },
  ]);
}

function decodeText(speeds: DecodeSpeed[]): string {
  return "\nDecoding, greedy, with a cache of keys and values\n" + table(speeds, [
    { head: "model", cell: ({ name }) => name },
    { head: "batch", cell: ({ batch }) => batch, digits: 0 },
    { head: "prompt", cell: ({ promptTokens }) => promptTokens, digits: 0 },
    { head: "new tokens", cell: ({ newTokens }) => newTokens, digits: 0 },
    { head: "first token ms", cell: ({ firstTokenMilliseconds: ms }) => ms, digits: 1 },
    { head: "prefill tokens/s", cell: (speed) => speed.prefillTokensPerSecond, digits: 1 },
    { head: "decode tokens/s", cell: ({ tokensPerSecond }) => tokensPerSecond, digits: 1 },
    { head: "GPU busy %", cell: ({ busy }) => busy === null ? null : 100 * busy, digits: 1 },
  ]);
}

/** Ratios are against the same alone; of steps against whole ones. */
function sharingText({ name, speeds }: NonNullable<BenchReport["sharing"]>): string {
  const alone = (key: "answerMilliseconds" | "stepMilliseconds") =>
    speeds.find((speed) => speed[key] !== null)![key]!;
  const [answerMs, stepMs] = [alone("answerMilliseconds"), alone("stepMilliseconds")];
  const ratio = (ms: number | null, aloneMs: number) => ms === null ? null : ms / aloneMs;
  return `\nTraining and answers in one thread (${name}; median ms, and times alone)\n` +
    table(speeds, [
      { head: "", cell: ({ way }) => way },
      { head: "first token", cell: ({ firstTokenMilliseconds: ms }) => ms, digits: 0 },
      { head: "answer", cell: ({ answerMilliseconds: ms }) => ms, digits: 0 },
      { head: "x", cell: ({ answerMilliseconds: ms }) => ratio(ms, answerMs), digits: 2 },
      { head: "slowest", cell: ({ slowestAnswerMilliseconds: ms }) => ms, digits: 0 },
      { head: "step", cell: ({ stepMilliseconds: ms }) => ms, digits: 0 },
      { head: "x", cell: ({ stepMilliseconds: ms }) => ratio(ms, stepMs), digits: 2 },
    ]);
}

function loadText(model: string, { dtypes, fileBytes, milliseconds }: LoadSpeed): string {
  const gigabytes = fileBytes / 1e9, seconds = milliseconds / 1e3;
  return `\nLoading ${model} from the system's file cache to the device\n` +
    `weights     ${dtypes.join(" and ")}, ${gigabytes.toFixed(3)} GB in files\n` +
    `time        ${milliseconds.toFixed(0)} ms, ${(gigabytes / seconds).toFixed(2)} GB/s\n`;
}
