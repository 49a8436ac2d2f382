// qk_norm_forward: scale every query head and every key head to unit root-mean-square, then by learned weights: one for
// all query heads, one for all key heads.
//
//   rstd[n,h] = 1 / sqrt(mean_i(x[n,h,i]^2) + eps)
//   y[n,h,i]  = x[n,h,i] * rstd[n,h] * weight[h < NH ? 0 : 1, i]    query and key heads
//   y[n,h,i]  = x[n,h,i]                                            value heads
//
// Shapes    x, y (N, (NH + 2 NKV) HS) operand, a row holds query, key, value heads; weight (2, HS) f32; rstd (N, NH + NKV) f32,
//           kept for qk_norm_backward. HS a multiple of 4.
// Dispatch  one workgroup per head of a row, in a grid of two dimensions.
// Writes    overwrites y and rstd; sums in f32, in a fixed order.
// Source    Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4; for heads Henry et al. 2020, arXiv:2010.04245.
override WORKGROUP: u32; // threads per head; a power of two

struct Params { N: u32, NH: u32, NKV: u32, HS: u32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<operand>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<operand>>;
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn qk_norm_forward(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  place: Place,
) {
  let thread = place.thread;
  let heads = params.NH + 2u * params.NKV;
  let row = workgroup.y * workgroups.x + workgroup.x;
  if (row >= params.N * heads) { return; }
  let HS4 = params.HS / 4u;
  let head = row % heads;
  if (head >= params.NH + params.NKV) {
    for (var i = thread; i < HS4; i += WORKGROUP) { y[row * HS4 + i] = x[row * HS4 + i]; }
    return;
  }
  var sum = 0.0;
  for (var i = thread; i < HS4; i += WORKGROUP) {
    let value = vec4<f32>(x[row * HS4 + i]);
    sum += dot(value, value);
  }
  let scale = 1.0 / sqrt(reduce_sum(sum, place) / f32(params.HS) + params.eps);
  if (thread == 0u) { rstd[row / heads * (params.NH + params.NKV) + head] = scale; }
  let first = select(0u, HS4, head >= params.NH);
  for (var i = thread; i < HS4; i += WORKGROUP) {
    y[row * HS4 + i] = vec4<operand>(vec4<f32>(x[row * HS4 + i]) * scale * weight[first + i]);
  }
}
