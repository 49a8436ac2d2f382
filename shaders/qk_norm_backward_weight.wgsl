// qk_norm_backward_weight: the gradients of qk_norm_forward with respect to its two weights.
//
//   forward  y[n,h,i]     = x[n,h,i] * rstd[n,h] * weight[h < NH ? 0 : 1, i]
//   here     dweight[0,i] += sum of dy[n,h,i] * x[n,h,i] * rstd[n,h] over rows n and query heads h
//            dweight[1,i] += so too over key heads
//
// Shapes    dy and x (N, (NH + 2 NKV) HS) operand, a row holds query, key, value heads; rstd (N, NH + NKV) f32; dweight (2, HS)
//           f32. HS a multiple of 4.
// Dispatch  one workgroup of 8 x 32 threads per 32 elements of a head, for query heads and for key heads:
//           (ceil(HS / 32), 2, 1).
// Writes    accumulates into dweight; every thread sums each 32nd head, then a tree adds the threads: a fixed order.
struct Params { N: u32, NH: u32, NKV: u32, HS: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<operand>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<operand>>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<storage, read_write> dweight: array<vec4<f32>>;

const COLUMNS = 8u; // vec4s of a head per workgroup
const ROWS = 32u; // threads that share a column

var<workgroup> partial: array<array<vec4<f32>, COLUMNS>, ROWS>;

@compute @workgroup_size(COLUMNS, ROWS)
fn qk_norm_backward_weight(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_id) thread: vec3<u32>,
) {
  let HS4 = params.HS / 4u;
  let i = workgroup.x * COLUMNS + thread.x;
  let is_key = workgroup.y == 1u;
  let heads = select(params.NH, params.NKV, is_key);
  let first = select(0u, params.NH, is_key);
  var sum = vec4<f32>();
  if (i < HS4) {
    for (var row = thread.y; row < params.N * heads; row += ROWS) {
      let n = row / heads;
      let head = first + row % heads;
      let at = (n * (params.NH + 2u * params.NKV) + head) * HS4 + i;
      sum += vec4<f32>(dy[at]) * vec4<f32>(x[at]) * rstd[n * (params.NH + params.NKV) + head];
    }
  }
  partial[thread.y][thread.x] = sum;
  workgroupBarrier();
  for (var stride = ROWS / 2u; stride > 0u; stride /= 2u) {
    if (thread.y < stride) { partial[thread.y][thread.x] += partial[thread.y + stride][thread.x]; }
    workgroupBarrier();
  }
  if (thread.y == 0u && i < HS4) { dweight[workgroup.y * HS4 + i] += partial[0][thread.x]; }
}
