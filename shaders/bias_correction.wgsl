// bias_correction: counts an update of Adam's moments, and how far these are from the zeros that they began with.
//
//   step   = step + 1
//   bias_i = 1 - beta_i^step
//
// Shapes    state: see src/kernels/state.ts; correction: see src/kernels/adamw.ts.
// Dispatch  (1, 1, 1).
// Writes    updates correction; nothing where grad_norm skipped the step.
// Source    Kingma & Ba 2015, arXiv:1412.6980, algorithm 1.
struct Params { log_beta1: f32, log_beta2: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> state: State;
@group(0) @binding(2) var<storage, read_write> correction: Correction;

// 1 - exp(x) for x <= 0; the series where the difference would cancel.
fn one_minus_exp(x: f32) -> f32 {
  if (x < -0.25) { return 1.0 - exp(x); }
  return -x * (1.0 + x / 2.0 * (1.0 + x / 3.0 * (1.0 + x / 4.0 * (1.0 + x / 5.0 * (1.0 + x / 6.0 * (1.0 + x / 7.0))))));
}

@compute @workgroup_size(1)
fn bias_correction() {
  if (state.multiplier == 0.0) { return; }
  correction.step += 1u;
  correction.bias1 = one_minus_exp(f32(correction.step) * params.log_beta1);
  correction.bias2 = one_minus_exp(f32(correction.step) * params.log_beta2);
}
