// rmsnorm_backward_weight: the gradient of rmsnorm_forward with respect to its gain.
//
//   forward  y[n,c]     = x[n,c] * rstd[n] * weight[c]
//   here     dweight[c] += sum_n dy[n,c] * x[n,c] * rstd[n]
//
// Shapes    dy (N, C) operand; x (N, C) f32; rstd (N) f32; dweight (C) f32. C a multiple of 4.
// Dispatch  one workgroup of 8 x 32 threads per 32 channels: (ceil(C / 32), 1, 1).
// Writes    accumulates into dweight; every thread sums each 32nd row, then a tree adds the threads: a fixed order.
struct Params { N: u32, C: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<operand>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<storage, read_write> dweight: array<vec4<f32>>;

const COLUMNS = 8u; // vec4s of channels per workgroup
const ROWS = 32u; // threads that share a column

var<workgroup> partial: array<array<vec4<f32>, COLUMNS>, ROWS>;

@compute @workgroup_size(COLUMNS, ROWS)
fn rmsnorm_backward_weight(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_id) thread: vec3<u32>,
) {
  let C4 = params.C / 4u;
  let c = workgroup.x * COLUMNS + thread.x;
  var sum = vec4<f32>();
  if (c < C4) {
    for (var n = thread.y; n < params.N; n += ROWS) {
      sum += vec4<f32>(dy[n * C4 + c]) * x[n * C4 + c] * rstd[n];
    }
  }
  partial[thread.y][thread.x] = sum;
  workgroupBarrier();
  for (var stride = ROWS / 2u; stride > 0u; stride /= 2u) {
    if (thread.y < stride) { partial[thread.y][thread.x] += partial[thread.y + stride][thread.x]; }
    workgroupBarrier();
  }
  if (thread.y == 0u && c < C4) { dweight[c] += partial[0][thread.x]; }
}
