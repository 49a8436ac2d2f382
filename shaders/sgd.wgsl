// sgd: one step of stochastic gradient descent on an arena's weights, with weight decay of those in front.
//
//   g = multiplier * gradient
//   w = w - lr * (g + weight_decay * w)                        weight_decay where i < 4 decaying4, else 0
//
// Shapes    gradient, weight (length) f32, length a multiple of 4 or padded; state after grad_norm.
// Dispatch  one thread per 4 elements: (x, y, 1) workgroups of WORKGROUP threads.
// Writes    updates weight; nothing where grad_norm skipped the step.
// Source    torch.optim.SGD without momentum.
override WORKGROUP: u32;

struct Params { length4: u32, decaying4: u32, lr: f32, weight_decay: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> state: State;
@group(0) @binding(3) var<storage, read_write> weight: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn sgd(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + thread;
  if (i >= params.length4 || state.multiplier == 0.0) { return; }
  let weight_decay = select(0.0, params.weight_decay, i < params.decaying4);
  weight[i] -= params.lr * (state.multiplier * gradient[i] + weight_decay * weight[i]);
}
