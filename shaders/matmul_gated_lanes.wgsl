// matmul_gated_lanes: matmul_forward and swiglu_forward in one, for software adapters; see lane_product.wgsl.
//
//   gate[m,f] = sum_k x[m,k] * weight[f,k]    (+ bias[f])
//   up[m,f]   = sum_k x[m,k] * weight[F+f,k]  (+ bias[F+f])
//   a[m,f]    = silu(gate[m,f]) * up[m,f]
//
// Shapes    x (M, K) and weight (2F, K) as textures; bias (2F) f32; gate_up (M, 2F), a row holds gate, then up, and a (M, F),
//           result. K and F multiples of 4.
// Dispatch  (ceil(F / 4 LANES), ceil(M / 24), 1): one subgroup; a lane has four gates and their ups of each row.
// Writes    overwrites a, and gate_up if params.keep, with the bits of matmul_forward and swiglu_forward at f32.
struct Params {
  M: u32,
  F: u32,
  K: u32,
  biased: u32, // 1: add bias; 0: any tensor may be bound in its place
  keep: u32, // 1 where a backward pass needs gate_up. An override would be compiled twice
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var input: input_texels;
@group(0) @binding(2) var weight: weight_texels;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> gate_up: array<vec4<result>>;
@group(0) @binding(5) var<storage, read_write> a: array<vec4<result>>;

var<private> m0: u32; // the workgroup's first row

@compute @workgroup_size(LANES)
fn matmul_gated_lanes(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  m0 = ITEMS * workgroup.y;
  let column4 = LANES * workgroup.x + lane;
  if (params.biased == 1u) { load_bias(column4); }
  multiply(m0, column4, params.F / 4u, params.K / 4u, lane);
}

fn weight_rows() -> u32 { return 2u * params.F; }

// From gates to their ups.
fn high_column4(column4: u32) -> u32 { return column4 + params.F / 4u; }

fn store(row: u32, column4: u32, low: vec4<f32>, high: vec4<f32>) {
  let F4 = params.F / 4u;
  let m = min(row, params.M - 1u);
  let stored_gate = vec4<result>(low + low_bias);
  let stored_up = vec4<result>(high + high_bias);
  if (params.keep == 1u) {
    gate_up[m * 2u * F4 + column4] = stored_gate;
    gate_up[m * 2u * F4 + F4 + column4] = stored_up;
  }
  let gate = vec4<f32>(stored_gate);
  a[m * F4 + column4] = vec4<result>(gate / (1.0 + exp(-gate)) * vec4<f32>(stored_up));
}
