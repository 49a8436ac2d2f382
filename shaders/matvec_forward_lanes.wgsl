// matvec_forward_lanes: matvec_forward for software adapters; see lane_broadcast.wgsl.
//
//   y[m,n] = sum_k h[m,k] * weight[n,k]  (+ bias[n])  (+ residual[m,n]),  h = x, or x * gain / rms(x) if normalized
//   gated: silu(y[m,n]) * y[m,N+n] from a weight of 2N rows
//
// Shapes    as matvec_forward; weight and gain as textures. x stays a buffer: a turn has one load of it for each lane, and a
//           texture would have to be copied for every product.
// Dispatch  ceil(stride / 4 LANES) in a grid of two dimensions, by ceil(M / ROWS): one subgroup; a lane has four columns of
//           ROWS rows: 1 (lane_row.wgsl), 4 or 8 (lane_rows.wgsl), which have multiply(first row, column / 4, lane).
// Writes    overwrites y. A row's sums have the order of matmul_forward's, whatever ROWS is.
override NORM: bool; // normalize the rows of x
override BIAS: bool; // add bias
override RESIDUAL: bool; // add residual

struct Params { M: u32, N: u32, K: u32, stride: u32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<lhs>>;
@group(0) @binding(2) var weight: weight_texels;
@group(0) @binding(3) var gain: gain_texels;
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> output: array<vec4<result>>;

fn K4() -> u32 { return params.K / 4u; }

// Four steps by four columns from n on, 0 in those from `end` on; anything in steps from K on, where x is 0.
fn right_block(n: u32, end: u32, k4: u32) -> mat4x4<f32> {
  return transpose(mat4x4(
    weight_steps(n, end, k4),
    weight_steps(n + 1u, end, k4),
    weight_steps(n + 2u, end, k4),
    weight_steps(n + 3u, end, k4),
  ));
}

fn weight_steps(n: u32, end: u32, k4: u32) -> vec4<f32> {
  let steps = textureLoad(weight, texel(min(n, end - 1u) * K4() + min(k4, K4() - 1u)));
  return select(vec4(0.0), steps, n < end);
}

@compute @workgroup_size(LANES)
fn matvec_forward_lanes(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let column4 = (workgroup.y * workgroups.x + workgroup.x) * LANES + lane;
  multiply(ROWS * workgroup.z, column4, lane);
}

fn finish_row(m: u32, column4: u32, first: vec4<f32>, second: vec4<f32>, squares: vec4<f32>) {
  if (m >= params.M || column4 >= params.stride / 4u) { return; }
  var scale = 1.0;
  if (NORM) {
    let square = (squares.x + squares.y) + (squares.z + squares.w);
    scale = 1.0 / sqrt(square / f32(params.K) + params.eps);
  }
  var value = first * scale;
  if (BIAS) { value += bias[column4]; }
  if (MATRICES > 1u) {
    var up = second * scale;
    if (BIAS) { up += bias[params.N / 4u + column4]; }
    value = value / (1.0 + exp(-value)) * up;
  }
  let at = m * (params.stride / 4u) + column4;
  if (RESIDUAL) { value += residual[at]; }
  output[at] = vec4<result>(value);
}
