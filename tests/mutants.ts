/**
 * Shows that tests notice: makes one small edit after the other in a checkout of its own, runs the nearest tests, and
 * prints whether they fail. No part of `.ci/run`: it takes minutes. Exits with 1 if a mutant lives.
 *
 *     deno run -P=test tests/mutants.ts [part of a file's name ...]
 *
 * Commit first: the checkout has what is committed.
 *
 * @module
 */
import { join } from "node:path";

interface Mutant {
  file: string;
  from: string;
  to: string;
  tests: string[];
}

const kernels = (name: string) => [`tests/kernels/${name}_test.ts`];
const mutant = (file: string, from: string, to: string, tests: string[]): Mutant => ({
  file,
  from,
  to,
  tests,
});

const LORA_TRAINING = ["tests/train/lora_test.ts"];

const SYNC = ["tests/train/reference_sync_test.ts"];

const MUTANTS: Mutant[] = [
  // Adapters.
  mutant("shaders/lora_spread.wgsl", "params.scale * b[", "b[", kernels("lora")),
  mutant("shaders/lora_spread.wgsl", "row = rows_0 + n", "row = n", kernels("lora")),
  mutant(
    "shaders/lora_gather.wgsl",
    "db[i] += params.scale",
    "db[i] = params.scale",
    kernels("lora"),
  ),
  mutant("shaders/lora_turn.wgsl", "if (row < params.R)", "if (true)", kernels("lora")),
  mutant("src/model/low_rank.ts", "commands.clear(dspread);", "", LORA_TRAINING),
  mutant("src/model/low_rank.ts", "{ residual }", "{}", LORA_TRAINING),
  mutant("src/model/adapter.ts", "Math.sqrt(rank) : rank", "rank : rank", [
    "tests/model/adapter_test.ts",
  ]),
  // A reference that follows.
  mutant("shaders/mix_weights.wgsl", "params.rest * ", "", kernels("mix_weights")),
  mutant("src/dpo/reference.ts", "this.forget();", "", SYNC),
  mutant("src/dpo/reference.ts", "#remember(known, pairs", "#remember(this.#scores, pairs", SYNC),
  mutant("src/model/follow.ts", "theirs.master ?? theirs.operand", "theirs.operand", SYNC),
  mutant("src/model/follow.ts", "if (operand !== master)", "if (false)", SYNC),
  // The optimizer, the losses, sampling.
  mutant("shaders/adamw.wgsl", "+ params.eps", "+ 1e-8", kernels("adamw")),
  mutant("shaders/adamw.wgsl", "i < params.decaying4", "true", kernels("adamw")),
  mutant("shaders/bias_correction.wgsl", "if (x < -0.25) {", "if (true) {", kernels("adamw")),
  mutant("src/kernels/grad_norm.ts", "Math.min(begin + length, end)", "end", kernels("grad_norm")),
  mutant("shaders/lion.wgsl", "params.beta2 * m[i]", "params.beta1 * m[i]", kernels("lion")),
  mutant("shaders/muon_direction.wgsl", "params.momentum * (mean - g)", "0.0", kernels("muon")),
  mutant("shaders/muon_direction.wgsl", "var value = 0.0;", "var value = 1.0;", kernels("muon")),
  mutant("shaders/muon_norm.wgsl", "max(sqrt(sum), EPSILON)", "sqrt(sum)", kernels("muon")),
  mutant(
    "shaders/muon_polynomial.wgsl",
    "select(1.0, scale[0]",
    "select(1.0, 1.0",
    kernels("muon"),
  ),
  mutant("shaders/muon_update.wgsl", "|| state.multiplier == 0.0", "", kernels("muon")),
  mutant("src/train/optimizer.ts", "place.first - first", "place.first", [
    "tests/train/optimizers_test.ts",
  ]),
  mutant("shaders/sgd.wgsl", "|| state.multiplier == 0.0", "", kernels("sgd")),
  mutant("shaders/grad_norm.wgsl", "max(1.0, scale / 2.0)", "scale / 2.0", kernels("grad_norm")),
  mutant(
    "shaders/grad_norm.wgsl",
    "min(LARGEST_SCALE, 2.0 * scale)",
    "2.0 * scale",
    kernels("grad_norm"),
  ),
  mutant(
    "shaders/grad_norm_partial.wgsl",
    "select(vec4(0.0), gradient[i], inside)",
    "gradient[i]",
    [
      "tests/kernels/grad_norm_test.ts",
    ],
  ),
  mutant(
    "shaders/dpo_loss.wgsl",
    "min(z, 0.0) - log(1.0 + exp(-abs(z)))",
    "-log(1.0 + exp(-z))",
    kernels("dpo_loss"),
  ),
  mutant(
    "src/losses/of_sides.ts",
    "select(1.0, 1.0 + params.dpop_lambda, gain.x < 0.0)",
    "1.0",
    kernels("dpo_loss"),
  ),
  mutant(
    "src/losses/across_pairs.ts",
    "(other == own && i < index)",
    "other == own",
    kernels("dpo_loss"),
  ),
  mutant("src/losses/of_margin.ts", 'rewards: "sum",', "", [
    "tests/e2e/per_token_losses_test.ts",
  ]),
  mutant("src/losses/of_scores.ts", "reference: false,", "", ["tests/dpo/reference_free_test.ts"]),
  mutant(
    "src/losses/of_answers.ts",
    "max(0.0, sum / f32(params.count))",
    "sum / f32(params.count)",
    [
      "tests/kernels/dpo_loss_test.ts",
    ],
  ),
  mutant(
    "src/losses/of_answers.ts",
    "scores[2u * i + 1u].x - reference",
    "scores[2u * i].x - reference",
    [
      "tests/kernels/dpo_loss_test.ts",
    ],
  ),
  mutant("src/losses/of_answers.ts", "drejected: 0,", "drejected: beta,", [
    "tests/losses/losses_test.ts",
  ]),
  mutant(
    "shaders/dpo_loss.wgsl",
    "gain.x - terms[pair].margin / params.beta",
    "gain.x - terms[pair].margin",
    [
      "tests/kernels/dpo_loss_test.ts",
    ],
  ),
  mutant("shaders/dpo_loss.wgsl", "exp(chosen.w + rejected.w)", "exp(chosen.w)", [
    "tests/kernels/dpo_loss_test.ts",
  ]),
  mutant("shaders/logprob_squares.wgsl", "dot(p, p)", "dot(p, vec4(1.0))", kernels("logprob")),
  mutant(
    "shaders/sequence_confidence.wgsl",
    "max(1u, sequence.z - sequence.y)",
    "max(1u, sequence.z - sequence.x)",
    kernels("logprob"),
  ),
  mutant("src/dpo/reference.ts", "{ ...batch, confidence: false }", "batch", [
    "tests/train/equivalence_test.ts",
  ]),
  mutant("src/dpo/evaluate.ts", "reference && !confidence", "reference", [
    "tests/train/equivalence_test.ts",
  ]),
  mutant("src/data/answers.ts", "if (end - begin === 1)", "if (false)", [
    "tests/data/answers_test.ts",
  ]),
  mutant("src/data/answers.ts", "await cacheKey({ answers: hash, together })", "hash", [
    "tests/data/answers_test.ts",
  ]),
  mutant("src/data/ranked_answers.ts", "a.rating !== b.rating", "true", [
    "tests/data/ranked_answers_test.ts",
  ]),
  mutant("src/train/row_stream.ts", ".slice(-waiting)", "", ["tests/train/row_stream_test.ts"]),
  mutant("src/data/token_cache.ts", '["margin", "weight", "label"]', '["margin", "weight"]', [
    "tests/data/token_cache_test.ts",
  ]),
  mutant("src/dpo/answer_metrics.ts", "label === false ? -1 : 1", "1", [
    "tests/dpo/answer_metrics_test.ts",
  ]),
  mutant("src/dpo/pack.ts", "tail.weight * weight", "weight", ["tests/dpo/ld_alpha_test.ts"]),
  mutant("src/dpo/pack.ts", "options.acrossPairs", "false", ["tests/dpo/pack_test.ts"]),
  mutant("shaders/logprob_forward.wgsl", "own_sum * exp(before - own)", "own_sum", [
    "tests/kernels/logprob_test.ts",
  ]),
  mutant("shaders/rmsnorm_forward.wgsl", "+ params.eps", "+ 0.0", kernels("rmsnorm")),
  // Edges of the matrix products, in tiles and by lanes.
  mutant(
    "shaders/matmul_backward_input.wgsl",
    "min(params.N, (workgroup.z + 1u) * params.part)",
    "params.N",
    kernels("matmul"),
  ),
  mutant(
    "shaders/matmul_forward_lanes.wgsl",
    "select(vec4(0.0), sum, inside)",
    "sum",
    kernels("matmul"),
  ),
  mutant(
    "shaders/matmul_backward_weight_lanes.wgsl",
    "select(vec4(0.0), rows, m < params.M)",
    "rows",
    kernels("matmul"),
  ),
  mutant(
    "shaders/matmul_backward_weight_lanes.wgsl",
    "select(vec4(0.0), sum, inside)",
    "sum",
    kernels("matmul"),
  ),
  mutant("shaders/matmul_gated_lanes.wgsl", "min(row, params.M - 1u)", "row", kernels("matmul")),
  mutant("shaders/matvec_forward_lanes.wgsl", "+ params.eps", "+ 0.0", kernels("matvec")),
  mutant("shaders/lane_row.wgsl", "n, k4 + 2u)", "n, k4)", kernels("matvec")),
  // A new token's own key: its turn, and its place in the cache.
  mutant(
    "shaders/rotated_head.wgsl",
    "b * cosine + a * sine",
    "b * cosine - a * sine",
    kernels("attention_decode"),
  ),
  mutant(
    "shaders/attention_decode_lanes.wgsl",
    "(first + count) * width",
    "first * width",
    kernels("attention_decode"),
  ),
  mutant(
    "shaders/attention_decode.wgsl",
    "select(0.0, 1.0, thread == 0u)",
    "0.0",
    kernels("attention_decode"),
  ),
  // How far a sequence is, and what it has drawn.
  mutant("shaders/sample.wgsl", "lengths[b].y++;", "", kernels("sample")),
  mutant("shaders/sample.wgsl", "history[drawn]++;", "", kernels("sample")),
  // Biases, and the norms of heads.
  mutant("shaders/matmul_forward.wgsl", "value += bias[column4];", "", kernels("matmul")),
  mutant("shaders/matmul_forward_lanes.wgsl", "high + high_bias", "high", kernels("matmul")),
  mutant("shaders/matmul_gated_lanes.wgsl", "high + high_bias", "high", kernels("matmul")),
  mutant(
    "shaders/matvec_forward.wgsl",
    "bias[params.N / 4u + column4]",
    "bias[column4]",
    kernels("matvec"),
  ),
  mutant(
    "shaders/matvec_forward_lanes.wgsl",
    "bias[params.N / 4u + column4]",
    "bias[column4]",
    kernels("matvec"),
  ),
  mutant("shaders/bias_backward.wgsl", "{ dbias[n] +=", "{ dbias[n] =", kernels("bias")),
  mutant("shaders/qk_norm_forward.wgsl", "+ params.eps", "+ 0.0", kernels("qk_norm")),
  mutant(
    "shaders/qk_norm_forward.wgsl",
    "select(0u, HS4, head >= params.NH)",
    "0u",
    kernels("qk_norm"),
  ),
  mutant("shaders/qk_norm_backward.wgsl", "* scale * mean", "* mean", kernels("qk_norm")),
  mutant(
    "shaders/qk_norm_backward_weight.wgsl",
    "select(0u, params.NH, is_key)",
    "0u",
    kernels("qk_norm"),
  ),
  mutant("src/model/linear.ts", "if (this.bias?.gradient)", "if (false)", [
    "tests/model/model_test.ts",
  ]),
  // Which keys a row sees.
  mutant(
    "shaders/attention_forward_lanes.wgsl",
    "key < limit[1]",
    "key <= limit[1]",
    kernels("attention"),
  ),
  mutant(
    "shaders/attention_backward_query_lanes.wgsl",
    "key < limit[0]",
    "key <= limit[0]",
    kernels("attention"),
  ),
  mutant(
    "shaders/attention_backward_key_lanes.wgsl",
    "row >= keys[0]",
    "row > keys[0]",
    kernels("attention"),
  ),
  // When a texture is renewed.
  mutant("src/gpu/texture.ts", "entry.copiedBytes >= bytes", "true", ["tests/gpu/texture_test.ts"]),
  mutant(
    "src/gpu/texture.ts",
    "(entry.copiedBy === encoding || entry.copiedBy?.finished)",
    "true",
    ["tests/gpu/texture_test.ts"],
  ),
  mutant(
    "src/gpu/encoding.ts",
    "for (const content of this.#written) content.version++;",
    "",
    ["tests/gpu/texture_test.ts"],
  ),
  mutant("src/gpu/arena.ts", "first + length > most", "false", ["tests/gpu/arena_test.ts"]),
  mutant("src/gpu/tensor.ts", "whenFreed([whole], () => freed(storage));", "", [
    "tests/gpu/arena_test.ts",
  ]),
  mutant("src/train/optimizer.ts", "partial: firstPartials.get(tensor.name)!,", "partial: 0,", [
    "tests/train/optimizers_test.ts",
  ]),
  mutant(
    "src/train/optimizer.ts",
    "decayNorms ? length : Math.max(0, Math.min(matrices - first, length))",
    "length",
    ["tests/train/equivalence_test.ts"],
  ),
  mutant("src/gpu/workspace.ts", "found.dtype === dtype && ", "", ["tests/gpu"]),
  // The loop, and what is said of data.
  mutant("src/train/loop.ts", "SKIPS_AT_FLOOR = 3", "SKIPS_AT_FLOOR = 100000", [
    "tests/train/failures_test.ts",
  ]),
  mutant("src/dpo/label_flips.ts", "const MARGIN = 1;", "const MARGIN = 0;", [
    "tests/dpo",
    "tests/e2e/label_flips_test.ts",
  ]),
  mutant("src/text/bounded_template.ts", "const THROW = 5000;", "const THROW = 0;", [
    "tests/text/bounded_template_test.ts",
  ]),
];

async function execute(program: string, args: string[], cwd: string): Promise<boolean> {
  const options = { args, cwd, stdout: "null", stderr: "null" } as const;
  return (await new Deno.Command(program, options).output()).success;
}

const chosen = MUTANTS.filter(({ file }) =>
  Deno.args.length === 0 || Deno.args.some((part) => file.includes(part))
);
if (chosen.length === 0) {
  throw new Error(`Expected parts of names of mutated files, found ${Deno.args}`);
}

const root = join(import.meta.dirname!, "..");
const tree = join(await Deno.makeTempDir(), "tree");
if (!await execute("git", ["worktree", "add", "--detach", tree], root)) {
  throw new Error(`Expected git to make a worktree at ${tree}: run this in a git checkout`);
}
const test = (files: string[]) =>
  execute(Deno.execPath(), ["test", "-q", "--no-check", "-P=test", ...files], tree);
let alive = 0;
try {
  if (!await test([...new Set(chosen.flatMap(({ tests }) => tests))])) {
    throw new Error("Expected the tests to pass without a mutant: mend them first");
  }
  for (const { file, from, to, tests } of chosen) {
    const path = join(tree, file);
    const text = await Deno.readTextFile(path);
    if (!text.includes(from)) throw new Error(`Expected "${from}" in ${file}: mend the list`);
    await Deno.writeTextFile(path, text.replace(from, to));
    const lives = await test(tests);
    await Deno.writeTextFile(path, text);
    alive += Number(lives);
    console.log(`${lives ? "LIVES " : "killed"}  ${file}: ${from} -> ${to || "nothing"}`);
  }
} finally {
  await execute("git", ["worktree", "remove", "--force", tree], root);
}
Deno.exit(alive === 0 ? 0 : 1);
