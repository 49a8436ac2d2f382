// rmsnorm_forward: scale every row to unit root-mean-square, then by a learned weight.
//
//   rstd[n] = 1 / sqrt(mean_c(x[n,c]^2) + eps)
//   y[n,c]  = x[n,c] * rstd[n] * weight[c]
//
// Shapes    x (N, C) f32; weight (C) f32; y (N, C) operand; rstd (N) f32, kept for rmsnorm_backward. C a multiple of 4.
// Dispatch  one workgroup per row, in a grid of two dimensions.
// Writes    overwrites y and rstd; sums in f32, in a fixed order.
// Source    Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4.
override WORKGROUP: u32; // threads per row; a power of two

struct Params { N: u32, C: u32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<operand>>;
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn rmsnorm_forward(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  place: Place,
) {
  let thread = place.thread;
  let n = workgroup.y * workgroups.x + workgroup.x;
  if (n >= params.N) { return; }
  let C4 = params.C / 4u;
  var sum = 0.0;
  for (var c = thread; c < C4; c += WORKGROUP) {
    let value = x[n * C4 + c];
    sum += dot(value, value);
  }
  let scale = 1.0 / sqrt(reduce_sum(sum, place) / f32(params.C) + params.eps);
  if (thread == 0u) { rstd[n] = scale; }
  for (var c = thread; c < C4; c += WORKGROUP) {
    y[n * C4 + c] = vec4<operand>(x[n * C4 + c] * scale * weight[c]);
  }
}
