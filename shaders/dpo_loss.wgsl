// dpo_loss: the preference loss of each pair and its derivative with respect to both sequence scores.
//
//   gain = score of the policy - score of the reference,  delta = gain of chosen - gain of rejected,  reward = beta * gain
//
// The loss itself, preference_loss, stands behind this file: it is that of the loss's row in src/losses, where the same stands in
// double precision, with the paper.
//
// A pair's own margin lowers the gain that losses of the margin see, its weight scales its loss; WPO (Zhou et al. 2024,
// arXiv:2406.11827, eq. 2) weighs by the confidence of both answers, through which no gradient goes.
//
// Shapes    scores and reference (2P, 4) f32 as sequence_score and sequence_confidence write them, chosen before rejected; terms
//           (P, PAIR_TERMS) f32; state: the optimizer's, for the loss scale; dscore (2P) f32; metrics (P, PAIR_METRICS) f32.
//           Params, State, PairTerms and PairMetrics are made from tables.
// Dispatch  one thread per pair: (ceil(count / 64), 1, 1), from pair `first`.
// Writes    overwrites dscore and metrics of its pairs. dscore carries gradient_scale (1 / pairs of the step) and the loss scale.
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scores: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> reference: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> terms: array<PairTerms>;
@group(0) @binding(4) var<storage, read> state: State;
@group(0) @binding(5) var<storage, read_write> dscore: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> metrics: array<PairMetrics>;

struct Loss { value: f32, dchosen: f32, drejected: f32 }

fn log_sigmoid(z: f32) -> f32 { return min(z, 0.0) - log(1.0 + exp(-abs(z))); }
fn sigmoid(z: f32) -> f32 { return 1.0 / (1.0 + exp(-z)); }

// A loss of delta alone pushes the chosen score by its slope and the rejected one by as much the other way.
fn of_delta(value: f32, slope: f32) -> Loss { return Loss(value, slope, -slope); }

// For weighted sums of losses.
fn scaled(weight: f32, loss: Loss) -> Loss {
  return Loss(weight * loss.value, weight * loss.dchosen, weight * loss.drejected);
}
fn plus(a: Loss, b: Loss) -> Loss {
  return Loss(a.value + b.value, a.dchosen + b.dchosen, a.drejected + b.drejected);
}

// Gains for losses of the margin, which must exceed the pair's own margin by as much as others.
fn less_margin(pair: u32, gain: vec2<f32>) -> vec2<f32> {
  return vec2<f32>(gain.x - terms[pair].margin / params.beta, gain.y);
}

@compute @workgroup_size(64)
fn dpo_loss(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.count) { return; }
  let pair = params.first + id.x;
  let chosen = scores[2u * pair];
  let rejected = scores[2u * pair + 1u];
  let chosen_gain = chosen - reference[2u * pair];
  let rejected_gain = rejected - reference[2u * pair + 1u];
  var weight = terms[pair].weight;
  if (WEIGHTING == 1) { weight *= exp(chosen.w + rejected.w); }
  let loss = scaled(weight, preference_loss(pair, vec2<f32>(chosen_gain.x, rejected_gain.x)));
  dscore[pair] = params.gradient_scale * state.loss_scale * vec2<f32>(loss.dchosen, loss.drejected);
  metrics[pair].loss = loss.value;
  metrics[pair].reward_chosen = params.beta * chosen_gain[REWARD_COLUMN];
  metrics[pair].reward_rejected = params.beta * rejected_gain[REWARD_COLUMN];
  metrics[pair].logp_chosen = chosen.y;
  metrics[pair].logp_rejected = rejected.y;
  metrics[pair].delta = chosen_gain[REWARD_COLUMN] - rejected_gain[REWARD_COLUMN];
  metrics[pair].score_chosen = chosen.x;
  metrics[pair].score_rejected = rejected.x;
}
