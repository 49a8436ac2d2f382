// dpo_loss: the preference loss of each pair and its derivative with respect to both sequence scores.
//
//   delta = (chosen - rejected) - (reference chosen - reference rejected),  z = beta * delta
//
//   sigmoid  -(1 - e) log sigmoid(z) - e log sigmoid(-z)               e = label_smoothing; cDPO where e > 0
//   robust   (-(1 - e) log sigmoid(z) + e log sigmoid(-z)) / (1 - 2e)
//   ipo      (delta - 1 / (2 beta))^2
//   hinge    max(0, 1 - z)
//
// Rewards are beta times the gain of what the loss takes as a score; those of ipo of the sum of log-probs, whatever that is (TRL).
//
// src/dpo/losses.ts is the same in double precision, with the papers; LOSS is the index in its table.
//
// Shapes    scores and reference (2P, 4) f32 as sequence_score writes them, chosen before rejected; state: the optimizer's, for
//           the loss scale; dscore (2P) f32; metrics (P, 8) f32: loss, reward of chosen and rejected, completion log-prob of
//           chosen and rejected, difference of the rewards over beta, score of chosen and rejected.
// Dispatch  one thread per pair: (ceil(count / 64), 1, 1), from pair `first`.
// Writes    overwrites dscore and metrics of its pairs. dscore carries gradient_scale (1 / pairs of the step) and the loss scale.
override LOSS: u32;
const IPO = 2u;

struct Params { first: u32, count: u32, beta: f32, label_smoothing: f32, gradient_scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scores: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> reference: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> state: State;
@group(0) @binding(4) var<storage, read_write> dscore: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> metrics: array<array<vec4<f32>, 2>>;

struct Loss { value: f32, dchosen: f32, drejected: f32 }

fn log_sigmoid(z: f32) -> f32 { return min(z, 0.0) - log(1.0 + exp(-abs(z))); }
fn sigmoid(z: f32) -> f32 { return 1.0 / (1.0 + exp(-z)); }

// A loss of delta alone pushes the chosen score by its slope and the rejected one by as much the other way.
fn of_delta(value: f32, slope: f32) -> Loss { return Loss(value, slope, -slope); }

fn preference_loss(delta: f32) -> Loss {
  let beta = params.beta;
  let e = params.label_smoothing;
  let z = beta * delta;
  switch LOSS {
    case 0u: {
      return of_delta(
        -(1.0 - e) * log_sigmoid(z) - e * log_sigmoid(-z),
        beta * (e * sigmoid(z) - (1.0 - e) * sigmoid(-z)),
      );
    }
    case 1u: {
      return of_delta(
        (e * log_sigmoid(-z) - (1.0 - e) * log_sigmoid(z)) / (1.0 - 2.0 * e),
        -beta * (e * sigmoid(z) + (1.0 - e) * sigmoid(-z)) / (1.0 - 2.0 * e),
      );
    }
    case IPO: {
      let distance = delta - 0.5 / beta;
      return of_delta(distance * distance, 2.0 * distance);
    }
    default: {
      return of_delta(max(0.0, 1.0 - z), select(0.0, -beta, z < 1.0));
    }
  }
}

@compute @workgroup_size(64)
fn dpo_loss(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.count) { return; }
  let pair = params.first + id.x;
  let chosen = scores[2u * pair];
  let rejected = scores[2u * pair + 1u];
  let reference_chosen = reference[2u * pair];
  let reference_rejected = reference[2u * pair + 1u];
  let loss = preference_loss((chosen.x - reference_chosen.x) - (rejected.x - reference_rejected.x));
  var gain = vec2<f32>(chosen.x - reference_chosen.x, rejected.x - reference_rejected.x);
  if (LOSS == IPO) { gain = vec2<f32>(chosen.z - reference_chosen.z, rejected.z - reference_rejected.z); }
  let reward = params.beta * gain;
  dscore[pair] = params.gradient_scale * state.loss_scale * vec2<f32>(loss.dchosen, loss.drejected);
  metrics[pair][0] = vec4<f32>(loss.value, reward.x, reward.y, chosen.y);
  metrics[pair][1] = vec4<f32>(rejected.y, gain.x - gain.y, chosen.x, rejected.x);
}
