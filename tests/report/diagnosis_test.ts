import assert from "node:assert/strict";
import { accepts, type Resolved, resolveOptions } from "../../src/config/resolve.ts";
import { LOSS_TYPES, LOSSES } from "../../src/losses/losses.ts";
import { diagnose } from "../../src/report/diagnosis.ts";
import type { Course } from "../../src/report/findings.ts";
import { unusualOptions } from "../../src/report/steering.ts";
import type { MetricsLine } from "../../src/report/run_record.ts";

const { LN2 } = Math;
const course: Course = {
  learningRate: 1e-4,
  beta: 0.1,
  lossOfEquals: LN2,
  vocabSize: 1000,
  chosenTokens: 10,
  rowsPerStep: 8,
  ...ofOptions(resolveOptions("train")),
};

/** What follows from the options of a run. */
function ofOptions(resolved: Resolved<"train">): Pick<Course, "lossType" | "accepts"> {
  const { lossType } = resolved.options;
  return { lossType, accepts: (name, value) => accepts(resolved, name, value) };
}

/** The metrics of a healthy run, changed. @param share From 0 to 1 over the steps. */
function run(change: (share: number, step: number) => Record<string, number>, count = 40) {
  return Array.from({ length: count }, (_, i): MetricsLine => {
    const share = i / (count - 1);
    return {
      step: i + 1,
      learning_rate: 1e-4,
      loss: LN2 - 0.4 * share,
      grad_norm: 2 - share,
      "rewards/accuracies": i === 0 ? 0 : 0.6 + 0.4 * share,
      "rewards/margins": share,
      "logps/chosen": -20 + share,
      "logps/rejected": -21 - 3 * share,
      skipped_steps: 0,
      loss_scale: 1,
      ...change(share, i + 1),
    };
  });
}

/** A healthy run with two evaluations. */
function evaluated(before: Record<string, number>, after: Record<string, number>): MetricsLine[] {
  const line = (step: number, measures: Record<string, number>) => ({
    step,
    ...Object.fromEntries(Object.entries(measures).map(([name, value]) => [`eval_${name}`, value])),
  });
  return [line(0, before), ...run(() => ({})), line(40, after)];
}

const signs = (...args: Parameters<typeof diagnose>) => diagnose(...args).map(({ sign }) => sign);

Deno.test("diagnosis: of a healthy run nothing stands out", () => {
  assert.deepEqual(diagnose(run(() => ({})), course), []);
  assert.deepEqual(diagnose([], course), []);
  assert.deepEqual(diagnose(run(() => ({}), 1), course), []);
});

/** Runs that are not healthy: the sign, and what is said of it. */
const SICK: [metrics: MetricsLine[], sign: string, text: RegExp, changed?: Partial<Course>][] = [
  [
    run((share) => ({ loss: LN2 + 9000 * share })),
    "diverged",
    /the loss rose from 0.6931 to 7,?\d{3}.*: training diverged; lower --learning-rate \(10\)$/,
    { learningRate: 10 },
  ],
  [
    run((share) => ({ loss: LN2 + 9000 * share })),
    "diverged",
    /lower --learning-rate \(1e-4\) and --beta \(1,000, where 0.1 is usual\)/,
    { beta: 1000 },
  ],
  [
    run((share) => ({ "logps/chosen": -20 - 60 * share, "logps/rejected": -10 })),
    "uniform",
    /right answers cost 7.3\d* nats per token, where guessing among 1,000 tokens costs 6.908, after 2 at first/,
  ],
  [
    run(() => ({ "logps/chosen": -70 })),
    "untrained",
    /from the first step on: .* begin with a model that was trained on text/,
  ],
  [
    run(() => ({ loss: LN2 })),
    "unmoved",
    /the loss is 0.6931 after 40 steps, that of a model that did not move: raise --learning-rate \(1e-4\) or --beta/,
  ],
  [
    [
      { step: 0, "eval_answers/correct": 0.96, "eval_answers/helpful": 0.5 },
      ...run(() => ({})),
      { step: 40, "eval_answers/correct": 0.81, "eval_answers/helpful": 0.66 },
    ],
    "worse",
    /^answers\/correct fell from 0.96 to 0.81: .*; lower --learning-rate \(1e-4\), or take fewer/,
  ],
  [
    run((_, step) => ({ "rewards/accuracies": step === 1 ? 0 : 1 })),
    "easy",
    /all 104 pairs of the first steps were right at once/,
  ],
  [
    run((share) => ({ "logps/chosen": -20 - 10 * share, "logps/rejected": -21 - 30 * share })),
    "falling",
    /log-probability -21.15\d* -> -28.8\d*, rejected .*--loss-type sigmoid,sft/,
  ],
  [
    run((share) => ({ grad_norm: 1 + 100 * share ** 4 })),
    "gradient",
    /the norm of the gradient rose from 1\S* to \d+\S*: lower --learning-rate/,
  ],
  [
    run((_, step) => ({
      ...step % 5 === 0 ? { skipped: 1 } : {},
      skipped_steps: Math.floor(step / 5),
      loss_scale: 0.5,
    })),
    "overflow",
    /8 of 40 steps were skipped .* use --precision f32/,
  ],
  [
    evaluated({ kl: 0 }, { kl: 3.218876, kl_ci95: 0.321 }),
    "drifted",
    /^kl is 3\.2189 ± 0\.32 nats per token: what the model writes is 25 times less likely to its reference, .*; lower --learning-rate \(1e-4\), raise --beta \(0\.1\), or/,
  ],
  [
    evaluated({ math_kl: 0, chat_kl: 0 }, { math_kl: 0.2, chat_kl: 2 }),
    "drifted",
    /^chat_kl is 2 nats per token/,
  ],
  [
    evaluated({ kl: 0 }, { kl: 2 }),
    "drifted",
    /; lower --learning-rate \(1e-4\) and --beta \(1,000, where 0\.1 is usual\), or take/,
    { beta: 1000 },
  ],
  [
    evaluated({ "completions/seq_rep_4": 0.02 }, { "completions/seq_rep_4": 0.57 }),
    "repetitive",
    /^completions\/seq_rep_4 rose from 0\.02 to 0\.57: answers repeat themselves; lower --learning-rate \(1e-4\), or/,
  ],
  [
    evaluated({ "completions/clipped_ratio": 0.25 }, { "completions/clipped_ratio": 0.75 }),
    "endless",
    /^completions\/clipped_ratio rose from 0\.25 to 0\.75: fewer answers come to an end; .* \(deno task inspect\), lower --learning-rate \(1e-4\), or/,
  ],
];

Deno.test("diagnosis: each sign, with the numbers that led to it and what to change", () => {
  for (const [metrics, sign, text, changed] of SICK) {
    const findings = diagnose(metrics, { ...course, ...changed });
    assert.deepEqual(findings.map(({ sign }) => sign), [sign]);
    assert.match(findings[0].text, text);
  }
});

Deno.test("diagnosis: what chance or the model itself explains is no sign", () => {
  const far = (kl: number, kl_ci95: number) => signs(evaluated({ kl: 0 }, { kl, kl_ci95 }), course);
  assert.deepEqual(far(0.9, 0.1), []);
  assert.deepEqual(far(1.5, 0.6), [], "1 is within the interval");
  assert.deepEqual(far(1.5, 0.4), ["drifted"]);
  const of = (name: string, before: number, after: number) =>
    signs(evaluated({ [name]: before }, { [name]: after }), course);
  assert.deepEqual(of("completions/seq_rep_4", 0.5, 0.55), [], "repeated itself before");
  assert.deepEqual(of("completions/clipped_ratio", 0.9, 1), [], "its answers are long");
  assert.deepEqual(of("kl_mismatched", 0, 90), [], "of an answer, not of a token");
});

Deno.test("diagnosis: good and bad answers that moved alike are not of a model that did not move", () => {
  const of = (reward: number) =>
    signs(
      run(() => ({ loss: LN2, "rewards/chosen": reward, "rewards/rejected": reward })),
      course,
    );
  assert.deepEqual(of(0.02), ["unmoved"]);
  assert.deepEqual(of(-22), []);
});

Deno.test("diagnosis: what follows from a broken model is not said by itself", () => {
  const broken = run((share) => ({
    loss: LN2 + 9000 * share,
    "logps/chosen": -20 - 1000 * share,
    "logps/rejected": -21 - 2000 * share,
    grad_norm: 1 + 1000 * share,
  }));
  assert.deepEqual(signs(broken, course), ["diverged", "uniform"]);
  const evaluations = evaluated(
    { kl: 0, "completions/seq_rep_4": 0, "completions/clipped_ratio": 0 },
    { kl: 9, "completions/seq_rep_4": 1, "completions/clipped_ratio": 1 },
  ).filter((line) => !("loss" in line));
  assert.deepEqual(signs([...broken, ...evaluations], course), ["diverged", "uniform"]);
  assert.deepEqual(
    signs([...run(() => ({})), ...evaluations], course),
    ["drifted", "repetitive", "endless"],
  );
});

Deno.test("diagnosis: held-out answers say more than batches of training", () => {
  const evaluations = (chosen: number) => [
    { step: 0, "eval_logps/chosen": -20, "eval_logps/rejected": -20 },
    { step: 40, "eval_logps/chosen": chosen, "eval_logps/rejected": -40 },
  ];
  const steps = run((share) => ({
    "logps/chosen": -20 - 10 * share,
    "logps/rejected": -30 * share,
  }));
  assert.deepEqual(signs([...evaluations(-19), ...steps], course), []);
  assert.deepEqual(signs([...evaluations(-30), ...run(() => ({}))], course), ["falling"]);
});

Deno.test("diagnosis: next-token training", () => {
  const sft = { ...course, beta: null, lossOfEquals: null, chosenTokens: null, lossType: null };
  const loss = (of: (share: number) => number) =>
    run((share) => ({ loss: of(share), "logps/chosen": NaN, "logps/rejected": NaN }));
  assert.deepEqual(signs(loss((share) => 6.9 - 4 * share), sft), []);
  assert.deepEqual(signs(loss(() => 6.9), sft), ["untrained"]);
  assert.deepEqual(
    signs(loss((share) => 3 + 3.9 * Math.sqrt(share)), sft),
    ["diverged", "uniform"],
  );
});

Deno.test("diagnosis: answers of another length", () => {
  const sample = (policy: number) => ({
    prompt: "p",
    reference: "r".repeat(10),
    policy: "x".repeat(policy),
  });
  const ofSamples = (length: number, count = 4) =>
    signs([], course, Array.from({ length: count }, () => sample(length)));
  assert.deepEqual(ofSamples(15), []);
  assert.deepEqual(ofSamples(25), ["length"]);
  assert.deepEqual(ofSamples(4), ["length"]);
  assert.deepEqual(ofSamples(25, 2), []);
});

/** Values of options that remedies name without one. */
const VALUES: Readonly<Record<string, unknown>> = {
  "learning-rate": 1e-5,
  beta: 0.2,
  "ld-alpha": 0.5,
  "desirable-weight": 2,
  "loss-weights": "1,2",
  "warmup-steps": 10,
  "max-grad-norm": 0.5,
};

/** The options that a text asks to change, with values; those of other commands left out. */
function optionsIn(text: string): [name: string, value: unknown][] {
  const asked = text.replaceAll(/\(deno task [^)]*\)/g, "");
  return [...asked.matchAll(/--([a-z-]+)(?: ([\w,]*\w))?/g)]
    .map(([, name, value]) => [name, VALUES[name] ?? value]);
}

Deno.test("diagnosis: every remedy is one that the options of the run accept", () => {
  const metrics = [...SICK.map(([metrics]) => metrics)];
  const long = ["a", "b", "c"].map((prompt) => ({ prompt, reference: "r", policy: "x".repeat(9) }));
  const runs: [string, unknown][][] = [
    ...LOSS_TYPES.map((type): [string, unknown][] => [
      ["loss-type", type],
      ...(LOSSES[type].positive ?? []).map((option): [string, unknown] => [option, 0.1]),
    ]),
    [["loss-type", "sigmoid,sft"]],
    [["loss-type", "sigmoid,hinge"], ["loss-weights", "1,1"]],
    [["ld-alpha", 0.2]],
    [["lr-scheduler-type", "reduce_lr_on_plateau"], ["eval-strategy", "epoch"]],
  ];
  const named = new Map<string, Set<string>>();
  for (const flags of runs) {
    const ofRun = { ...course, ...ofOptions(resolveOptions("train", { flags })) };
    for (const { sign, text } of metrics.flatMap((one) => diagnose(one, ofRun, long))) {
      for (const [name, value] of optionsIn(text)) {
        named.set(sign, (named.get(sign) ?? new Set()).add(name));
        if (name === "loss-type") assert.equal(value, `${ofRun.lossType},sft`, "the run's and sft");
        const others = flags.filter(([other]) => other !== name);
        const changed = [...others, [name, value] as const];
        assert.doesNotThrow(() => resolveOptions("train", { flags: changed }), `${flags}: ${text}`);
      }
      assert.match(text, /[:;] .+[^ ,]$/);
    }
  }
  assert.deepEqual(
    Object.fromEntries([...named].map(([sign, names]) => [sign, [...names].sort()])),
    {
      diverged: ["learning-rate"],
      uniform: ["learning-rate"],
      unmoved: ["beta", "learning-rate"],
      worse: ["learning-rate"],
      falling: ["beta", "desirable-weight", "learning-rate", "loss-type", "loss-weights"],
      gradient: ["learning-rate", "max-grad-norm", "warmup-steps"],
      overflow: ["learning-rate", "precision"],
      drifted: ["beta", "learning-rate"],
      repetitive: ["learning-rate"],
      endless: ["learning-rate"],
      length: ["ld-alpha"],
    },
  );
});

Deno.test("diagnosis: good and bad answers have other names, and other remedies, than those of pairs", () => {
  const kto = {
    ...course,
    ...ofOptions(resolveOptions("train", { flags: [["loss-type", "kto"]] })),
  };
  const text = (metrics: MetricsLine[]) => diagnose(metrics, kto).map(({ text }) => text).join();
  const falling = { "logps/chosen": [-20, -30], "logps/rejected": [-21, -51] };
  assert.match(
    text(run((share) =>
      Object.fromEntries(
        Object.entries(falling).map(([name, [from, to]]) => [name, from + (to - from) * share]),
      )
    )),
    /^good answers became .*, bad -\S+ -> .*; let good answers weigh more \(--desirable-weight\), raise --beta, or lower --learning-rate$/,
  );
  assert.match(
    text(run((_, step) => ({ "rewards/accuracies": step === 1 ? 0 : 1 }))),
    /^all 104 answers of the first steps were right at once: good and bad answers differ/,
  );
});

Deno.test("options: extremes are said before the run begins", () => {
  const usual = { learningRate: 1e-6, beta: 0.1, optim: "adamw_torch" };
  assert.deepEqual(unusualOptions(usual), []);
  for (
    const [changed, expected] of [
      [{ beta: 1e-30 }, /--beta 1e-30 leaves almost nothing/],
      [{ beta: 1e300 }, /--beta 1e\+?300 keeps the model/],
      [{ learningRate: 10 }, /--learning-rate 10 makes almost every model diverge/],
      [{ learningRate: 1e-12 }, /hardly changes a weight/],
    ] as const
  ) {
    const [text, ...others] = unusualOptions({ ...usual, ...changed });
    assert.match(text, expected);
    assert.deepEqual(others, []);
  }
  assert.deepEqual(unusualOptions({ learningRate: 1, optim: "sgd" }), []);
  assert.deepEqual(unusualOptions({ learningRate: 0, optim: "adamw_torch" }), []);
});
