// grad_norm: the global gradient norm, and all that follows from it before the update, without the CPU.
//
//   norm   = sqrt(sum of partials) / loss_scale
//   finite = norm is neither infinite nor NaN; where not, the step is skipped and the loss scale halved
//   clip   = min(1, max_norm / (norm + 1e-6)), or 1 where max_norm is 0      (as PyTorch's clip_grad_norm_)
//
// After GROWTH_INTERVAL steps without overflow a dynamic loss scale doubles (Micikevicius et al. 2018, arXiv:1710.03740).
//
// Shapes    partials (count) f32; state: see src/kernels/state.ts.
// Dispatch  (1, 1, 1).
// Writes    updates state.
override WORKGROUP: u32; // threads; a power of two
override DYNAMIC: bool; // adapt the loss scale; false keeps it

struct Params { count: u32, max_norm: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> state: State;

const GROWTH_INTERVAL = 2000u;
const LARGEST_SCALE = 16777216.0; // 2^24

// By bits, for compilers may assume that floats are finite.
fn is_finite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }

@compute @workgroup_size(WORKGROUP)
fn grad_norm(place: Place) {
  let thread = place.thread;
  var sum = 0.0;
  for (var i = thread; i < params.count; i += WORKGROUP) { sum += partials[i]; }
  sum = reduce_sum(sum, place);
  if (thread != 0u) { return; }
  let scale = state.loss_scale;
  let norm = sqrt(sum) / scale;
  state.norm = norm;
  if (!is_finite(sum)) {
    state.multiplier = 0.0;
    state.skipped += 1u;
    state.clean_steps = 0u;
    if (DYNAMIC) { state.loss_scale = max(1.0, scale / 2.0); }
    return;
  }
  var clip = 1.0;
  if (params.max_norm > 0.0) { clip = min(1.0, params.max_norm / (norm + 1e-6)); }
  state.multiplier = clip / scale;
  state.clean_steps += 1u;
  if (DYNAMIC && state.clean_steps == GROWTH_INTERVAL) {
    state.clean_steps = 0u;
    state.loss_scale = min(LARGEST_SCALE, 2.0 * scale);
  }
}
