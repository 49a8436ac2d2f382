// matmul_backward_weight: the gradient of matmul_forward with respect to its weight.
//
//   forward  y[m,n]       = sum_k x[m,k] * weight[n,k]
//   here     dweight[n,k] += sum_m dy[m,n] * x[m,k]
//
// Shapes    dy (M, stride) lhs, stride >= N; x (M, K) rhs; dweight (N, K) f32. K and stride multiples of 4.
// Dispatch  (ceil(K / TILE), ceil(N / TILE), 1): 64 threads per TILE x TILE tile of dweight, see tile_product.wgsl.
// Writes    accumulates into dweight; sums in f32 over ascending m.
struct Params { M: u32, N: u32, K: u32, stride: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<lhs>>;
@group(0) @binding(2) var<storage, read> input: array<vec4<rhs>>;
@group(0) @binding(3) var<storage, read_write> dweight: array<vec4<f32>>;

// Four steps m .. by four columns 4 n4 ..; zeros outside.
fn fetch_dy(m: u32, n4: u32) -> mat4x4<f32> {
  let stride4 = params.stride / 4u;
  var rows = mat4x4<f32>();
  if (n4 < stride4) {
    if (m < params.M) { rows[0] = vec4<f32>(dy[m * stride4 + n4]); }
    if (m + 1u < params.M) { rows[1] = vec4<f32>(dy[(m + 1u) * stride4 + n4]); }
    if (m + 2u < params.M) { rows[2] = vec4<f32>(dy[(m + 2u) * stride4 + n4]); }
    if (m + 3u < params.M) { rows[3] = vec4<f32>(dy[(m + 3u) * stride4 + n4]); }
  }
  return rows;
}

// Four steps m .. by four columns 4 k4 ..; zeros outside.
fn fetch_input(m: u32, k4: u32) -> mat4x4<f32> {
  let K4 = params.K / 4u;
  var rows = mat4x4<f32>();
  if (k4 < K4) {
    if (m < params.M) { rows[0] = vec4<f32>(input[m * K4 + k4]); }
    if (m + 1u < params.M) { rows[1] = vec4<f32>(input[(m + 1u) * K4 + k4]); }
    if (m + 2u < params.M) { rows[2] = vec4<f32>(input[(m + 2u) * K4 + k4]); }
    if (m + 3u < params.M) { rows[3] = vec4<f32>(input[(m + 3u) * K4 + k4]); }
  }
  return rows;
}

@compute @workgroup_size(64)
fn matmul_backward_weight(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let x = thread % 8u;
  let y = thread / 8u;
  let block = thread % TILE;
  let n0 = TILE * workgroup.y;
  let k0 = TILE * workgroup.x;
  let step = 4u * (block / WIDTH);
  let column4 = block % WIDTH;
  var sums: Sums;
  for (var m0 = 0u; m0 < params.M; m0 += DEPTH) {
    if (fetches_left(thread)) { keep_left(step, column4, fetch_dy(m0 + step, n0 / 4u + column4)); }
    if (fetches_right(thread)) { keep_right(step, column4, fetch_input(m0 + step, k0 / 4u + column4)); }
    workgroupBarrier();
    add_steps(&sums, x, y);
    workgroupBarrier();
  }
  store_sums(sums, n0 + first_row(y), k0 / 4u + x);
}

fn store(n: u32, k4: u32, sum: vec4<f32>) {
  if (n < params.N && k4 < params.K / 4u) { dweight[n * (params.K / 4u) + k4] += sum; }
}
