// matmul_forward_lanes: matmul_forward for software adapters; see lane_product.wgsl.
//
//   y[m,n] = sum_k x[m,k] * weight[n,k]  (+ bias[n])  (+ residual[m,n])
//
// Shapes    as matmul_forward; x and weight as textures.
// Dispatch  (ceil(stride / 8 LANES), ceil(M / 24), 1): one subgroup per 24 x 8 LANES tile of y.
// Writes    overwrites y, with the bits of matmul_forward.
struct Params {
  M: u32,
  N: u32,
  K: u32,
  stride: u32,
  biased: u32, // 1: add bias; 0: any tensor may be bound in its place. An override would be compiled twice
  adds: u32, // 1: add residual; so too
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var input: input_texels;
@group(0) @binding(2) var weight: weight_texels;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> output: array<vec4<result>>;

var<private> m0: u32; // the workgroup's first row

@compute @workgroup_size(LANES)
fn matmul_forward_lanes(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  m0 = ITEMS * workgroup.y;
  let stride4 = params.stride / 4u;
  let column4 = 2u * (LANES * workgroup.x + lane);
  if (params.biased == 1u) { load_bias(column4); }
  multiply(m0, column4, stride4, params.K / 4u, lane);
  if (params.adds == 0u || column4 >= stride4) { return; }
  // Behind all stores, in a loop: the loads of every row would take longer to compile than all of the rest.
  let last4 = min(column4 + 1u, stride4 - 1u);
  for (var m = m0; m < min(m0 + ITEMS, params.M); m++) {
    for (var at = m * stride4 + column4; at <= m * stride4 + last4; at++) {
      output[at] = vec4<result>(vec4<f32>(output[at]) + residual[at]);
    }
  }
}

fn weight_rows() -> u32 { return params.N; }

fn high_column4(column4: u32) -> u32 { return column4 + 1u; }

fn store(m: u32, column4: u32, low: vec4<f32>, high: vec4<f32>) {
  let stride4 = params.stride / 4u;
  let row = min(m, params.M - 1u) * stride4;
  store_columns(row, min(column4 + 1u, stride4 - 1u), high + high_bias);
  store_columns(row, column4, low + low_bias);
}

fn store_columns(row: u32, column4: u32, sum: vec4<f32>) {
  let inside = 4u * column4 + vec4(0u, 1u, 2u, 3u) < vec4(params.N);
  output[row + column4] = vec4<result>(select(vec4(0.0), sum, inside));
}
