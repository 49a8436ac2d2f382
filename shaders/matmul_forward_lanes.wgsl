// matmul_forward_lanes: matmul_forward for software adapters; see lane_product.wgsl.
//
//   y[m,n] = sum_k x[m,k] * weight[n,k]  (+ residual[m,n])
//
// Shapes    as matmul_forward; x and weight as textures.
// Dispatch  (ceil(stride / 8 LANES), ceil(M / ITEMS), 1): one subgroup per ITEMS x 8 LANES tile of y.
// Writes    overwrites y, with the bits of matmul_forward.
override RESIDUAL: bool; // add residual; where false, any f32 tensor may be bound in its place

struct Params { M: u32, N: u32, K: u32, stride: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var input: texture_2d<f32>;
@group(0) @binding(2) var weight: texture_2d<f32>;
@group(0) @binding(3) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output: array<vec4<result>>;

var<private> m0: u32; // the workgroup's first row

@compute @workgroup_size(LANES)
fn matmul_forward_lanes(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  m0 = ITEMS * workgroup.y;
  multiply(m0, 2u * (LANES * workgroup.x + lane), params.K / 4u, lane);
}

fn load_item(row: u32, k4: u32) -> vec4<f32> {
  let m = min(m0 + row, params.M - 1u);
  return textureLoad(input, texel(m * (params.K / 4u) + k4), 0);
}

// Four steps by four columns n, anything in those from N on.
fn right_block(k4: u32, column4: u32) -> mat4x4<f32> {
  let n = 4u * column4;
  return transpose(mat4x4(
    weight_steps(n, k4),
    weight_steps(n + 1u, k4),
    weight_steps(n + 2u, k4),
    weight_steps(n + 3u, k4),
  ));
}

fn weight_steps(n: u32, k4: u32) -> vec4<f32> {
  return textureLoad(weight, texel(min(n, params.N - 1u) * (params.K / 4u) + k4), 0);
}

fn high_column4(column4: u32) -> u32 { return column4 + 1u; }

fn store(m: u32, column4: u32, low: vec4<f32>, high: vec4<f32>) {
  store_columns(m, column4, low);
  store_columns(m, column4 + 1u, high);
}

fn store_columns(m: u32, column4: u32, sum: vec4<f32>) {
  if (m >= params.M || column4 >= params.stride / 4u) { return; }
  let at = m * (params.stride / 4u) + column4;
  var value = select(vec4(0.0), sum, 4u * column4 + vec4(0u, 1u, 2u, 3u) < vec4(params.N));
  if (RESIDUAL) { value += residual[at]; }
  output[at] = vec4<result>(value);
}
