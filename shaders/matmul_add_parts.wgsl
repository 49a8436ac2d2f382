// matmul_add_parts: adds what matmul_backward_input left of sums that were cut into parts.
//
//   dx[i] = sum_p parts[p,i]
//
// Shapes    parts (P, L) f32; dx (L) result; L a multiple of 4, L4 a fourth of it.
// Dispatch  one thread per four elements, in a grid of two dimensions.
// Writes    overwrites dx; sums in f32 over ascending p.
override WORKGROUP: u32; // threads per workgroup

struct Params { P: u32, L4: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parts: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<result>>;

@compute @workgroup_size(WORKGROUP)
fn matmul_add_parts(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + thread;
  if (i >= params.L4) { return; }
  var sum = vec4(0.0);
  for (var p = 0u; p < params.P; p++) { sum += parts[p * params.L4 + i]; }
  dx[i] = vec4<result>(sum);
}
