// bias_backward: the gradient of a linear layer with respect to its bias.
//
//   forward  y[m,n]   = sum_k x[m,k] * weight[n,k] + bias[n]
//   here     dbias[n] += sum_m dy[m,n]
//
// Shapes    dy (M, N) operand; dbias (N) f32. N a multiple of 4.
// Dispatch  one workgroup of 8 x 32 threads per 32 columns: (ceil(N / 32), 1, 1).
// Writes    accumulates into dbias; every thread sums each 32nd row, then a tree adds the threads: a fixed order.
struct Params { M: u32, N: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<operand>>;
@group(0) @binding(2) var<storage, read_write> dbias: array<vec4<f32>>;

const COLUMNS = 8u; // vec4s of columns per workgroup
const ROWS = 32u; // threads that share a column

var<workgroup> partial: array<array<vec4<f32>, COLUMNS>, ROWS>;

@compute @workgroup_size(COLUMNS, ROWS)
fn bias_backward(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_id) thread: vec3<u32>,
) {
  let N4 = params.N / 4u;
  let n = workgroup.x * COLUMNS + thread.x;
  var sum = vec4<f32>();
  if (n < N4) {
    for (var m = thread.y; m < params.M; m += ROWS) { sum += vec4<f32>(dy[m * N4 + n]); }
  }
  partial[thread.y][thread.x] = sum;
  workgroupBarrier();
  for (var stride = ROWS / 2u; stride > 0u; stride /= 2u) {
    if (thread.y < stride) { partial[thread.y][thread.x] += partial[thread.y + stride][thread.x]; }
    workgroupBarrier();
  }
  if (thread.y == 0u && n < N4) { dbias[n] += partial[0][thread.x]; }
}
