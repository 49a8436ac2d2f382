// embedding_forward: look up one row of a table per token. Also gathers chosen rows of an activation.
//
//   x[n,c] = weight[ids[n],c]
//
// Shapes    weight (V, C) element; ids (N) u32, below V; x (N, C) operand. C a multiple of 4.
// Dispatch  one thread per four channels, in a grid of two dimensions.
// Writes    overwrites x.
override WORKGROUP: u32; // threads per workgroup

struct Params { C: u32, N: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<vec4<element>>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> x: array<vec4<operand>>;

@compute @workgroup_size(WORKGROUP)
fn embedding_forward(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + thread;
  let C4 = params.C / 4u;
  if (i >= params.N * C4) { return; }
  let n = i / C4;
  x[i] = vec4<operand>(weight[ids[n] * C4 + i - n * C4]);
}
