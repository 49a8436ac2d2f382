// matmul_backward_input_lanes: matmul_backward_input for software adapters; see lane_product.wgsl.
//
//   dx[m,k] = sum_n dy[m,n] * weight[n,k]
//
// Shapes    as matmul_backward_input; dy and weight as textures.
// Dispatch  (ceil(K / 8 LANES), ceil(M / 24), 1): one subgroup per 24 x 8 LANES tile of dx.
// Writes    overwrites dx, with the bits of matmul_backward_input.
struct Params { M: u32, N: u32, K: u32, stride: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var dy: dy_texels;
@group(0) @binding(2) var weight: weight_texels;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4<result>>;

var<private> m0: u32; // the workgroup's first row

@compute @workgroup_size(LANES)
fn matmul_backward_input_lanes(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  m0 = ITEMS * workgroup.y;
  multiply(m0, 2u * (LANES * workgroup.x + lane), params.K / 4u, params.stride / 4u, lane);
}

// Four steps n, 0 in those from N on.
fn load_item(row: u32, n4: u32) -> vec4<f32> {
  let m = min(m0 + row, params.M - 1u);
  let steps = textureLoad(dy, texel(m * (params.stride / 4u) + n4));
  return select(vec4(0.0), steps, 4u * n4 + vec4(0u, 1u, 2u, 3u) < vec4(params.N));
}

// Four steps n by four columns k, anything in the steps from N on.
fn right_block(n4: u32, k4: u32) -> mat4x4<f32> {
  let n = 4u * n4;
  return mat4x4(weight_row(n, k4), weight_row(n + 1u, k4), weight_row(n + 2u, k4), weight_row(n + 3u, k4));
}

fn weight_row(n: u32, k4: u32) -> vec4<f32> {
  let K4 = params.K / 4u;
  return textureLoad(weight, texel(min(n, params.N - 1u) * K4 + min(k4, K4 - 1u)));
}

fn high_column4(column4: u32) -> u32 { return column4 + 1u; }

fn store(m: u32, k4: u32, low: vec4<f32>, high: vec4<f32>) {
  let K4 = params.K / 4u;
  let row = min(m, params.M - 1u) * K4;
  dx[row + min(k4 + 1u, K4 - 1u)] = vec4<result>(high);
  dx[row + k4] = vec4<result>(low);
}
