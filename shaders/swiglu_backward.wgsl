// swiglu_backward: gradient of the gated activation.
//
//   a = silu(gate) * up  =>  dup   = da * silu(gate)
//                            dgate = da * up * silu'(gate),  silu'(g) = s * (1 + g * (1 - s)),  s = sigmoid(g)
//
// Shapes    da (N, F) operand; gate_up, dgate_up (N, 2F) operand, a row holds gate, then up. F a multiple of 4.
// Dispatch  one thread per four elements of da, in a grid of two dimensions.
// Writes    overwrites dgate_up; computes in f32.
override WORKGROUP: u32; // threads per workgroup

struct Params { F: u32, N: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> da: array<vec4<operand>>;
@group(0) @binding(2) var<storage, read> gate_up: array<vec4<operand>>;
@group(0) @binding(3) var<storage, read_write> dgate_up: array<vec4<operand>>;

@compute @workgroup_size(WORKGROUP)
fn swiglu_backward(
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
  let upstream = vec4<f32>(da[i]);
  let sigmoid = 1.0 / (1.0 + exp(-gate));
  dgate_up[at] = vec4<operand>(upstream * up * sigmoid * (1.0 + gate * (1.0 - sigmoid)));
  dgate_up[at + F4] = vec4<operand>(upstream * gate * sigmoid);
}
