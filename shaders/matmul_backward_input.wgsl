// matmul_backward_input: the gradient of matmul_forward with respect to its input.
//
//   forward  y[m,n]  = sum_k x[m,k] * weight[n,k]
//   here     dx[m,k] = sum_n dy[m,n] * weight[n,k]
//
// Shapes    dy (M, stride) lhs, stride >= N, columns N..stride finite; weight (N, K) rhs; dx (M, K) result. K and stride
//           multiples of 4.
// Dispatch  (ceil(K / TILE), ceil(M / TILE), parts): 64 threads per TILE x TILE tile of dx, see tile_product.wgsl. Where a sum
//           is cut into parts of `part` steps n, a multiple of 16, dx is (parts, M, K): matmul_add_parts adds them.
// Writes    overwrites dx; sums in f32 over ascending n.
struct Params { M: u32, N: u32, K: u32, stride: u32, part: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<lhs>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<rhs>>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4<result>>;

var<private> part_at: u32; // where the part begins in dx

// Four rows m .. by four steps 4 n4 .., turned so that a column of the matrix is a step; zeros outside.
fn fetch_dy(m: u32, n4: u32) -> mat4x4<f32> {
  let stride4 = params.stride / 4u;
  var rows = mat4x4<f32>();
  if (n4 < stride4) {
    if (m < params.M) { rows[0] = vec4<f32>(dy[m * stride4 + n4]); }
    if (m + 1u < params.M) { rows[1] = vec4<f32>(dy[(m + 1u) * stride4 + n4]); }
    if (m + 2u < params.M) { rows[2] = vec4<f32>(dy[(m + 2u) * stride4 + n4]); }
    if (m + 3u < params.M) { rows[3] = vec4<f32>(dy[(m + 3u) * stride4 + n4]); }
  }
  return transpose(rows);
}

// Four steps n .. by four columns 4 k4 ..; zeros outside.
fn fetch_weight(n: u32, k4: u32) -> mat4x4<f32> {
  let K4 = params.K / 4u;
  var rows = mat4x4<f32>();
  if (k4 < K4) {
    if (n < params.N) { rows[0] = vec4<f32>(weight[n * K4 + k4]); }
    if (n + 1u < params.N) { rows[1] = vec4<f32>(weight[(n + 1u) * K4 + k4]); }
    if (n + 2u < params.N) { rows[2] = vec4<f32>(weight[(n + 2u) * K4 + k4]); }
    if (n + 3u < params.N) { rows[3] = vec4<f32>(weight[(n + 3u) * K4 + k4]); }
  }
  return rows;
}

@compute @workgroup_size(64)
fn matmul_backward_input(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let x = thread % 8u;
  let y = thread / 8u;
  let block = thread % TILE;
  let m0 = TILE * workgroup.y;
  let k0 = TILE * workgroup.x;
  let row = 4u * (block / 4u);
  let step4 = block % 4u;
  let step = 4u * (block / WIDTH);
  let column4 = block % WIDTH;
  var sums: Sums;
  let end = min(params.N, (workgroup.z + 1u) * params.part);
  for (var n0 = workgroup.z * params.part; n0 < end; n0 += DEPTH) {
    if (fetches_left(thread)) { keep_left(4u * step4, row / 4u, fetch_dy(m0 + row, n0 / 4u + step4)); }
    if (fetches_right(thread)) { keep_right(step, column4, fetch_weight(n0 + step, k0 / 4u + column4)); }
    workgroupBarrier();
    add_steps(&sums, x, y);
    workgroupBarrier();
  }
  part_at = workgroup.z * params.M * (params.K / 4u);
  store_sums(sums, m0 + first_row(y), k0 / 4u + x);
}

fn store(m: u32, k4: u32, sum: vec4<f32>) {
  if (m < params.M && k4 < params.K / 4u) {
    dx[part_at + m * (params.K / 4u) + k4] = vec4<result>(sum);
  }
}
