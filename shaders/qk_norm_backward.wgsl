// qk_norm_backward: the gradient of qk_norm_forward with respect to its input, in place.
//
//   forward  y[n,h,i] = x[n,h,i] * rstd[n,h] * weight[h,i],  weight[h] that of query heads or of key heads
//   with     g[i]     = dy[n,h,i] * weight[h,i],  xhat[i] = x[n,h,i] * rstd[n,h]
//   here     dx[n,h,i] = rstd[n,h] * (g[i] - xhat[i] * mean_i(g[i] * xhat[i])),  where dy was
//
// Shapes    dqkv and x (N, (NH + 2 NKV) HS) operand, a row holds query, key, value heads; weight (2, HS) f32; rstd
//           (N, NH + NKV) f32. HS a multiple of 4.
// Dispatch  one workgroup per query or key head of a row, in a grid of two dimensions.
// Writes    overwrites the query and key heads of dqkv; sums in f32, in a fixed order.
override WORKGROUP: u32; // threads per head; a power of two

struct Params { N: u32, NH: u32, NKV: u32, HS: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<operand>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<storage, read_write> dqkv: array<vec4<operand>>;

@compute @workgroup_size(WORKGROUP)
fn qk_norm_backward(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  place: Place,
) {
  let thread = place.thread;
  let heads = params.NH + params.NKV;
  let row = workgroup.y * workgroups.x + workgroup.x;
  if (row >= params.N * heads) { return; }
  let HS4 = params.HS / 4u;
  let head = row % heads;
  let first = select(0u, HS4, head >= params.NH);
  let at = (row / heads * (heads + params.NKV) + head) * HS4;
  let scale = rstd[row];
  var sum = 0.0;
  for (var i = thread; i < HS4; i += WORKGROUP) {
    sum += dot(vec4<f32>(dqkv[at + i]) * weight[first + i], vec4<f32>(x[at + i]) * scale);
  }
  let mean = reduce_sum(sum, place) / f32(params.HS);
  for (var i = thread; i < HS4; i += WORKGROUP) {
    let g = vec4<f32>(dqkv[at + i]) * weight[first + i];
    dqkv[at + i] = vec4<operand>(scale * (g - vec4<f32>(x[at + i]) * scale * mean));
  }
}
