// matmul_backward_weight_lanes: matmul_backward_weight for software adapters; see lane_product.wgsl.
//
//   dweight[n,k] += sum_m dy[m,n] * x[m,k]
//
// Shapes    as matmul_backward_weight; dy and x as textures.
// Dispatch  (ceil(K / 8 LANES), ceil(N / 24), 1): one subgroup per 24 x 8 LANES tile of dweight.
// Writes    accumulates into dweight, with the bits of matmul_backward_weight.
struct Params { M: u32, N: u32, K: u32, stride: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var dy: dy_texels;
@group(0) @binding(2) var input: input_texels;
@group(0) @binding(3) var<storage, read_write> dweight: array<vec4<f32>>;

var<private> n0: u32; // the workgroup's first row

@compute @workgroup_size(LANES)
fn matmul_backward_weight_lanes(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  n0 = ITEMS * workgroup.y;
  multiply(n0, 2u * (LANES * workgroup.x + lane), params.K / 4u, (params.M + 3u) / 4u, lane);
}

// Four rows n of one of the four steps m; 0 in those from M on.
fn load_item(i: u32, m4: u32) -> vec4<f32> {
  let m = 4u * m4 + i % 4u;
  let n4 = min(n0 / 4u + i / 4u, params.stride / 4u - 1u);
  let rows = textureLoad(dy, texel(min(m, params.M - 1u) * (params.stride / 4u) + n4));
  return select(vec4(0.0), rows, m < params.M);
}

// Four steps m by four columns k, anything in the steps from M on.
fn right_block(m4: u32, k4: u32) -> mat4x4<f32> {
  let m = 4u * m4;
  return mat4x4(input_row(m, k4), input_row(m + 1u, k4), input_row(m + 2u, k4), input_row(m + 3u, k4));
}

fn input_row(m: u32, k4: u32) -> vec4<f32> {
  let K4 = params.K / 4u;
  return textureLoad(input, texel(min(m, params.M - 1u) * K4 + min(k4, K4 - 1u)));
}

fn high_column4(column4: u32) -> u32 { return column4 + 1u; }

fn store(n: u32, k4: u32, low: vec4<f32>, high: vec4<f32>) {
  let K4 = params.K / 4u;
  let row = min(n, params.N - 1u) * K4;
  add_columns(row + min(k4 + 1u, K4 - 1u), high, n < params.N && k4 + 1u < K4);
  add_columns(row + k4, low, n < params.N);
}

fn add_columns(at: u32, sum: vec4<f32>, inside: bool) {
  dweight[at] += select(vec4(0.0), sum, inside);
}
