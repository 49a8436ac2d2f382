import assert from "node:assert/strict";
import { resolveOptions } from "../../src/config/resolve.ts";
import { UserError } from "../../src/errors.ts";

/** As a file for `trl dpo --config` has it. */
const FILE = {
  model_name_or_path: "org/model",
  dataset_name: "org/pairs",
  eval_strategy: "steps",
  eval_steps: 50,
  evalDataset: "org/pairs:test",
  learning_rate: 5e-7,
  warmup_ratio: 0.1,
  lr_scheduler_type: "cosine",
  per_device_train_batch_size: 2,
  per_device_eval_batch_size: 4,
  gradient_accumulation_steps: 8,
  gradient_checkpointing: true,
  gradient_checkpointing_kwargs: { use_reentrant: false },
  bf16: true,
  attn_implementation: "flash_attention_2",
  no_remove_unused_columns: true,
  report_to: ["wandb"],
  use_peft: false,
  save_strategy: "steps",
  save_steps: 100,
  output_dir: "runs/x",
  beta: 0.1,
  loss_type: ["sigmoid"],
};

const resolve = (content: object, command: "train" | "eval" = "train") =>
  resolveOptions(command, { file: { name: "dpo.yaml", content } });

Deno.test("a file for TRL gives the same options, and what changes nothing here is named", () => {
  const { options, withoutEffect } = resolve(FILE);
  assert.equal(options.model, "org/model");
  assert.equal(options.warmupSteps, 0.1);
  assert.equal(options.gradientAccumulationSteps, 8);
  assert.equal(options.evalSteps, 50);
  assert.equal(options.gradientCheckpointing, true);
  assert.equal(options.lossType, "sigmoid");
  assert.deepEqual(withoutEffect, [
    ...[
      "per_device_eval_batch_size",
      "gradient_checkpointing_kwargs",
      "bf16",
    ],
    ...[
      "attn_implementation",
      "no_remove_unused_columns",
      "report_to",
      "save_strategy",
    ],
  ]);
});

Deno.test("all settings of TRL that are missing here are named at once", () => {
  const refused = (message: RegExp, content: object, command: "train" | "eval" = "train") =>
    assert.throws(
      () => resolve(content, command),
      (error: Error) => error instanceof UserError && message.test(error.message),
    );
  refused(
    /settings of dpo\.yaml that train supports, found force_use_ref_model: true \(only false\), max_prompt_length: 512 \(only null\)$/,
    { ...FILE, force_use_ref_model: true, max_prompt_length: 512 },
  );
  refused(/found "made_up" in dpo\.yaml: did you mean/, { made_up: 1 });
  refused(/found "bf16" in dpo\.yaml/, { bf16: true }, "eval");
  refused(/found "constructor" in dpo\.yaml: did you mean/, { constructor: 1 });
  refused(/found "lr_scheduler_kwargs\.constructor" in/, {
    lr_scheduler_kwargs: { constructor: 1 },
  });
  refused(/"warmup_ratio" in dpo\.yaml once/, { warmup_steps: 3, warmup_ratio: 0.1 });
});

Deno.test("a flag of TRL that is missing here is named, and no other one in its place", () => {
  const refused = (flag: string, message: RegExp) =>
    assert.throws(() => resolveOptions("train", { flags: [[flag, true]] }), message);
  refused("use-dora", /found --use-dora: TRL has it, and this program does not \(/);
  refused("load_in_4bit", /found --load_in_4bit: TRL has it, and this program does not \(/);
  refused("bf16", /found --bf16: TRL has it, and it would change nothing here, so leave it out \(/);
  refused("use-rslor", /found --use-rslor: did you mean --use-rslora\?/);
});

Deno.test("a reference that follows is an option, and takes no scores of before", () => {
  const synced = { ...FILE, sync_ref_model: true, ref_model_sync_steps: 64 };
  const { options } = resolve({ ...synced, ref_model_mixup_alpha: 0.9 });
  const { syncRefModel, refModelMixupAlpha, refModelSyncSteps } = options;
  assert.deepEqual([syncRefModel, refModelMixupAlpha, refModelSyncSteps], [true, 0.9, 64]);
  assert.equal(resolve({ ...FILE, sync_ref_model: true }).options.refModelMixupAlpha, 0.6);
  // As TRL writes all of its options down.
  resolve({
    ...FILE,
    sync_ref_model: false,
    ref_model_mixup_alpha: 0.6,
    ref_model_sync_steps: 512,
  });
  const precomputed = { precompute_ref_log_probs: true };
  resolve({ ...FILE, ...precomputed });
  resolve({ ...synced, precompute_ref_log_probs: false });
  assert.throws(
    () => resolve({ ...synced, ...precomputed }),
    (error) =>
      error instanceof UserError &&
      /^Expected precompute_ref_log_probs false with --sync-ref-model, .* found true in dpo\.yaml$/
        .test(error.message),
  );
});

Deno.test("a file for TRL's KTO trainer", () => {
  const kto = {
    model_name_or_path: "org/model",
    dataset_name: "org/answers",
    loss_type: "kto",
    desirable_weight: 1.5,
    undesirable_weight: 0.75,
    train_sampling_strategy: "sequential",
    precompute_ref_log_probs: true,
    use_weighting: false,
  };
  const { options } = resolve(kto);
  const { lossType, desirableWeight, undesirableWeight, shuffle } = options;
  assert.deepEqual([lossType, desirableWeight, undesirableWeight, shuffle], [
    "kto",
    1.5,
    0.75,
    false,
  ]);
  assert.equal(resolve({ ...kto, train_sampling_strategy: "random" }).options.shuffle, true);
  assert.throws(
    () => resolve({ ...kto, train_sampling_strategy: "group_by_length" }),
    /train_sampling_strategy: "group_by_length" \(only "random" or "sequential"\)/,
  );
  assert.equal(resolve({ ...FILE, use_weighting: true }).options.useWeighting, true);
});

Deno.test("what transformers gives a schedule as kwargs are options here", () => {
  const resolve = (kwargs: unknown, type: string) =>
    resolveOptions("train", {
      file: {
        name: "x.yaml",
        content: {
          lr_scheduler_type: type,
          lr_scheduler_kwargs: kwargs,
          eval_strategy: "steps",
          eval_dataset: "x.jsonl",
        },
      },
    }).options;
  const plateau = resolve({ factor: 0.5, patience: 3, min_lr: 1e-7 }, "reduce_lr_on_plateau");
  assert.deepEqual([plateau.lrFactor, plateau.lrPatience, plateau.minLr], [0.5, 3, 1e-7]);
  assert.equal(resolve({ min_lr_rate: 0.1 }, "cosine_with_min_lr").minLrRate, 0.1);
  assert.equal(resolve(null, "linear").lrPower, 1);
  assert.throws(
    () => resolve({ mode: "max" }, "reduce_lr_on_plateau"),
    /Expected an option of train, found "lr_scheduler_kwargs\.mode" in x\.yaml/,
  );
});
