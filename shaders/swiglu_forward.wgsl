// swiglu_forward: the gated activation of the MLP.
//
//   a[n,f] = silu(gate[n,f]) * up[n,f],  silu(g) = g * sigmoid(g)
//
// Shapes    gate_up (N, 2F) operand, a row holds gate, then up; a (N, F) operand. F a multiple of 4.
// Dispatch  one thread per four elements of a, in a grid of two dimensions.
// Writes    overwrites a; computes in f32.
// Source    Shazeer 2020, arXiv:2002.05202, eq. 6.
override WORKGROUP: u32; // threads per workgroup

struct Params { F: u32, N: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate_up: array<vec4<operand>>;
@group(0) @binding(2) var<storage, read_write> a: array<vec4<operand>>;

@compute @workgroup_size(WORKGROUP)
fn swiglu_forward(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + thread;
  let F4 = params.F / 4u;
  if (i >= params.N * F4) { return; }
  let at = i + i / F4 * F4; // skips the up half of every row before
  let gate = vec4<f32>(gate_up[at]);
  let up = vec4<f32>(gate_up[at + F4]);
  a[i] = vec4<operand>(gate / (1.0 + exp(-gate)) * up);
}
