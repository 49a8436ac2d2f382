// This module is browser compatible.
/**
 * What files for `trl dpo --config` hold beside the options of this program: keys of TRL 1.x's DPOConfig and ModelConfig and of
 * transformers' TrainingArguments that say how PyTorch computes, and features that are missing here, which may be turned off.
 *
 * @module
 */

/** Keys that change no number of a training here, whatever they say. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  // Precision and memory: --precision decides, and what a step keeps is planned.
  ...[
    "bf16",
    "fp16",
    "tf32",
    "bf16_full_eval",
    "fp16_full_eval",
    "torch_dtype",
    "half_precision_backend",
  ],
  ...["gradient_checkpointing_kwargs", "activation_offloading"],
  ...["torch_empty_cache_steps", "auto_find_batch_size", "use_cpu", "no_cuda"],
  // How PyTorch computes the same.
  ...["attn_implementation", "use_liger_kernel", "torch_compile", "torch_compile_backend"],
  ...["torch_compile_mode", "padding_free", "use_logits_to_keep", "precompute_ref_log_probs"],
  ...["precompute_ref_batch_size", "per_device_eval_batch_size", "eval_accumulation_steps"],
  ...["dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers"],
  ...["dataloader_prefetch_factor", "ddp_find_unused_parameters", "ddp_timeout", "ddp_backend"],
  ...["local_rank", "full_determinism", "disable_dropout", "pad_token", "padding_value"],
  ...["label_pad_token_id", "pad_to_multiple_of", "remove_unused_columns", "trust_remote_code"],
  ...[
    "prediction_loss_only",
    "include_num_input_tokens_seen",
    "skip_memory_metrics",
    "jit_mode_eval",
  ],
  // What is told and kept beside the weights.
  ...["run_name", "project", "log_level", "log_level_replica", "logging_strategy"],
  ...["logging_first_step", "logging_dir", "logging_nan_inf_filter", "disable_tqdm"],
  ...["save_only_model", "save_safetensors", "overwrite_output_dir", "do_train", "do_eval"],
  ...["eval_on_start", "eval_delay", "hub_strategy", "lora_task_type"],
]);

/** Features that are missing here, with the values that do without them. */
const TURNED_OFF: ReadonlyMap<string, readonly unknown[]> = new Map(Object.entries({
  generate_during_eval: [false],
  force_use_ref_model: [false],
  group_by_length: [false],
  length_column_name: ["length"],
  packing: [false],
  load_in_8bit: [false],
  load_in_4bit: [false],
  use_dora: [false],
  model_revision: ["main"],
  dataset_config: [null],
  save_strategy: ["steps"],
  max_prompt_length: [null],
  max_completion_length: [null],
  neftune_noise_alpha: [null],
  data_seed: [null],
  deepspeed: [null],
  fsdp: [null, "", []],
  rpo_alpha: [null],
  label_smoothing_factor: [0],
  ignore_data_skip: [false],
}));

/** Other spellings of options, with the value that they stand for. */
const RENAMED: ReadonlyMap<string, string> = new Map([["warmup_ratio", "warmup_steps"]]);

/** What transformers gives a schedule as `lr_scheduler_kwargs`, and the options for it. */
const SCHEDULER_KWARGS: ReadonlyMap<string, string> = new Map(Object.entries({
  min_lr_rate: "min_lr_rate",
  power: "lr_power",
  num_decay_steps: "lr_decay_steps",
  factor: "lr_factor",
  patience: "lr_patience",
  threshold: "lr_threshold",
  threshold_mode: "lr_threshold_mode",
  cooldown: "lr_cooldown",
  min_lr: "min_lr",
}));

/** The entries of a configuration file, with those of `lr_scheduler_kwargs` as the options that they are here. */
export function withSchedulerKwargs(content: object): [name: string, value: unknown][] {
  return Object.entries(content).flatMap(([name, value]): [string, unknown][] => {
    if (name !== "lr_scheduler_kwargs" || typeof value !== "object") return [[name, value]];
    return Object.entries(value ?? {}).map(([key, value]) => {
      return [SCHEDULER_KWARGS.get(key) ?? `${name}.${key}`, value];
    });
  });
}

/** TensorBoard is an option; metrics.jsonl holds what others ask for, a line a step. */
function reportTo(targets: readonly unknown[]): TrlKey | null {
  const isOption = targets.length === 1 && ["none", "tensorboard"].includes(targets[0] as string);
  return isOption ? null : { kind: "without effect" };
}

/** The order of rows, in transformers' words. */
function samplingStrategy(value: unknown): TrlKey {
  const isKnown = value === "random" || value === "sequential";
  return isKnown
    ? { kind: "renamed", to: "shuffle", value: value === "random" }
    : { kind: "unsupported", expected: ["random", "sequential"] };
}

/**
 * The keys without effect that contradict an option here, as they do in TRL: its message, or null.
 *
 * @param keys What the file says of keys without effect, by their names in snake case.
 */
export function trlContradiction(
  keys: ReadonlyMap<string, unknown>,
  { syncRefModel }: { syncRefModel?: unknown },
): { expected: string; found: string } | null {
  const precomputed = keys.get("precompute_ref_log_probs");
  if (!syncRefModel || !/^true$/i.test(String(precomputed))) return null;
  return {
    expected: "precompute_ref_log_probs false with --sync-ref-model, whose reference changes",
    found: String(precomputed),
  };
}

/** What a key of a configuration file means for a training, beside the options. */
export type TrlKey =
  | { kind: "renamed"; to: string; value?: unknown }
  | { kind: "without effect" }
  | { kind: "unsupported"; expected: readonly unknown[] };

/** Why a key of TRL is no option here, to somebody who gave it as one; null if it is none, or has another name here. */
export function whyOnlyInTrl(name: string): string | null {
  if (WITHOUT_EFFECT.has(name)) {
    return "TRL has it, and it would change nothing here, so leave it out";
  }
  return TURNED_OFF.has(name) ? "TRL has it, and this program does not" : null;
}

/** @returns null if TRL has no such key, or it is an option here. */
export function trlKey(name: string, value: unknown): TrlKey | null {
  if (name === "report_to") return reportTo([value].flat());
  if (name === "train_sampling_strategy") return samplingStrategy(value);
  const to = RENAMED.get(name);
  if (to !== undefined) return { kind: "renamed", to };
  if (WITHOUT_EFFECT.has(name.replace(/^no_/, ""))) return { kind: "without effect" };
  const expected = TURNED_OFF.get(name);
  if (expected === undefined) return null;
  const isOff = expected.some((off) => JSON.stringify(off) === JSON.stringify(value));
  return isOff ? { kind: "without effect" } : { kind: "unsupported", expected };
}
