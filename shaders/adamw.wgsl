// adamw: one AdamW update of an arena's weights, with decoupled weight decay of those in front.
//
//   g = multiplier * gradient
//   w = w * (1 - lr * weight_decay)                            where i < 4 decaying4
//   m = beta1 * m + (1 - beta1) * g
//   v = beta2 * v + (1 - beta2) * g^2
//   w = w - lr / bias1 * m / (sqrt(v) / sqrt(bias2) + eps)
//
// Shapes    gradient, weight, m, v (length) f32, length a multiple of 4 or padded; state after grad_norm, correction after
//           bias_correction.
// Dispatch  one thread per 4 elements: (x, y, 1) workgroups of WORKGROUP threads.
// Writes    updates weight, m and v; nothing where grad_norm skipped the step.
// Source    Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2, in the order of torch.optim.AdamW.
override WORKGROUP: u32;

struct Params { length4: u32, decaying4: u32, lr: f32, weight_decay: f32, beta1: f32, beta2: f32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> state: State;
@group(0) @binding(3) var<storage, read> correction: Correction;
@group(0) @binding(4) var<storage, read_write> weight: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> m: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> v: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn adamw(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + thread;
  if (i >= params.length4 || state.multiplier == 0.0) { return; }
  let g = state.multiplier * gradient[i];
  let mean = params.beta1 * m[i] + (1.0 - params.beta1) * g;
  let square = params.beta2 * v[i] + (1.0 - params.beta2) * g * g;
  m[i] = mean;
  v[i] = square;
  let weight_decay = select(0.0, params.weight_decay, i < params.decaying4);
  weight[i] = weight[i] * (1.0 - params.lr * weight_decay) -
    params.lr / correction.bias1 * mean / (sqrt(square) / sqrt(correction.bias2) + params.eps);
}
