import { resolveOptions } from "../../src/config/resolve.ts";
import type { MetricsLine, RunRecord, Sample } from "../../src/report/run_record.ts";

/** A made-up run of 60 steps for the tests of what is written about runs. */
export const RUN: RunRecord = {
  ...resolveOptions("train", { flags: [["beta", "0.25"], ["preset", "seed"]] }, new Date(0)),
  startedAt: "2026-11-22T12:34:56.789Z",
  durationSeconds: 83.4,
  versions: { smoldpo: "0.1.0", deno: "2.9.6" },
  device: {
    engine: "deno",
    vendor: "65541",
    architecture: "",
    description: "llvmpipe (LLVM 15.0.6, 256 bits)",
    software: true,
    lanes: 8,
  },
  source: "fixtures/model",
  parameters: { total: 2_066_496, trained: 491_904 },
  memory: { plannedBytes: 95_000_000, peakBytes: 94_000_000 },
  data: [{
    role: "train",
    path: "fixtures/pairs/train.jsonl",
    files: ["fixtures/pairs/train.jsonl"],
    format: "prompt, chosen, rejected as messages",
    encoding: "the chat template writes <s> at the beginning and </s> behind an answer",
    unusedColumns: ["score_chosen"],
    hash: "5eed",
    counts: { rows: 1400, kept: 1398, droppedPromptTooLong: 2 },
    audit: {
      pairs: 1398,
      duplicates: { count: 2, rows: [7, 1234] },
      contradictions: { count: 0, rows: [] },
      identical: { count: 0, rows: [] },
      emptyAnswers: 0,
      longerWins: 0.625,
    },
  }],
  header: ["steps      60, 8 pairs each"],
};

function step(step: number): MetricsLine {
  const margin = 2 * step / 60;
  return {
    step,
    loss: Math.log1p(Math.exp(-margin)) + 0.02 * Math.sin(step),
    grad_norm: 1 / (1 + step / 20),
    learning_rate: 1e-4,
    "rewards/chosen": margin / 3,
    "rewards/rejected": -2 * margin / 3,
    "rewards/accuracies": Math.min(1, 0.5 + step / 40),
    "rewards/margins": margin,
  };
}

/** Its metrics.jsonl. */
export const METRICS: MetricsLine[] = [
  { step: 0, eval_loss: Math.LN2, "eval_rewards/accuracies": 0.5, "eval_rewards/margins": 0 },
  ...Array.from({ length: 60 }, (_, i) => step(i + 1)),
  { step: 60, eval_loss: 0.1269, "eval_rewards/accuracies": 0.99, "eval_rewards/margins": 2 },
];

/** Two answers, one of them hostile. */
export const SAMPLES: Sample[] = [
  {
    prompt: "What colour is the molp?",
    reference: "Grey.",
    policy: "Sure! You will find that the molp is grey.",
  },
  {
    prompt: `<script>alert("1")</script>`,
    reference: `" onload="x | y\nz`,
    policy: "&lt; `a` *b* [c](javascript:d)",
  },
];
