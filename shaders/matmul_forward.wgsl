// matmul_forward: a linear layer, with an optional bias and an optional residual.
//
//   y[m,n] = sum_k x[m,k] * weight[n,k]  (+ bias[n])  (+ residual[m,n])
//
// Shapes    x (M, K) lhs; weight (N, K) rhs, as checkpoints store it; bias (N) f32, N a multiple of 4 then; residual
//           f32 and y result (M, stride), stride >= N. K and stride multiples of 4. Columns N..stride of y become 0.
// Dispatch  (ceil(stride / TILE), ceil(M / TILE), 1): 64 threads per TILE x TILE tile of y, see tile_product.wgsl; both sizes divide
//           all of SmolLM's widths.
// Writes    overwrites y; sums in f32 over ascending k, so a row does not depend on its neighbours.
override BIAS: bool; // add bias; where false, any tensor may be bound in its place
override RESIDUAL: bool; // add residual; so too

struct Params { M: u32, N: u32, K: u32, stride: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<lhs>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<rhs>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> output: array<vec4<result>>;

// Four rows m .. by four steps 4 k4 .., turned so that a column of the matrix is a step; zeros outside.
fn fetch_input(m: u32, k4: u32) -> mat4x4<f32> {
  let K4 = params.K / 4u;
  var rows = mat4x4<f32>();
  if (k4 < K4) {
    if (m < params.M) { rows[0] = vec4<f32>(input[m * K4 + k4]); }
    if (m + 1u < params.M) { rows[1] = vec4<f32>(input[(m + 1u) * K4 + k4]); }
    if (m + 2u < params.M) { rows[2] = vec4<f32>(input[(m + 2u) * K4 + k4]); }
    if (m + 3u < params.M) { rows[3] = vec4<f32>(input[(m + 3u) * K4 + k4]); }
  }
  return transpose(rows);
}

// Four rows n .. by four steps 4 k4 .., turned so that a column of the matrix is a step; zeros outside.
fn fetch_weight(n: u32, k4: u32) -> mat4x4<f32> {
  let K4 = params.K / 4u;
  var rows = mat4x4<f32>();
  if (k4 < K4) {
    if (n < params.N) { rows[0] = vec4<f32>(weight[n * K4 + k4]); }
    if (n + 1u < params.N) { rows[1] = vec4<f32>(weight[(n + 1u) * K4 + k4]); }
    if (n + 2u < params.N) { rows[2] = vec4<f32>(weight[(n + 2u) * K4 + k4]); }
    if (n + 3u < params.N) { rows[3] = vec4<f32>(weight[(n + 3u) * K4 + k4]); }
  }
  return transpose(rows);
}

@compute @workgroup_size(64)
fn matmul_forward(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let x = thread % 8u;
  let y = thread / 8u;
  let block = thread % TILE;
  let m0 = TILE * workgroup.y;
  let n0 = TILE * workgroup.x;
  let row = 4u * (block / 4u);
  let step4 = block % 4u;
  var sums: Sums;
  for (var k0 = 0u; k0 < params.K; k0 += DEPTH) {
    if (fetches_left(thread)) { keep_left(4u * step4, row / 4u, fetch_input(m0 + row, k0 / 4u + step4)); }
    if (fetches_right(thread)) { keep_right(4u * step4, row / 4u, fetch_weight(n0 + row, k0 / 4u + step4)); }
    workgroupBarrier();
    add_steps(&sums, x, y);
    workgroupBarrier();
  }
  store_sums(sums, m0 + first_row(y), n0 / 4u + x);
}

fn store(m: u32, column4: u32, sum: vec4<f32>) {
  if (m >= params.M || column4 >= params.stride / 4u) { return; }
  let at = m * (params.stride / 4u) + column4;
  var value = sum;
  if (BIAS) { value += bias[column4]; }
  if (RESIDUAL) { value += residual[at]; }
  output[at] = vec4<result>(value);
}
