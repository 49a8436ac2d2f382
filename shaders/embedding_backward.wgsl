// embedding_backward: add every token's gradient to the row of the table that the token looked up.
//
//   x[n,c] = weight[ids[n],c]  =>  dweight[id,c] += sum of dx[n,c] over the rows n that looked up id
//
// The rows come grouped by id, so that each row of dweight has one owner, which sums in a fixed order: no atomics.
//
// Shapes    dx (N, C) f32; dweight (V, C) f32; ids (U) u32, distinct; starts (U + 1) u32; occurrences (N) u32: the rows
//           of ids[u] are occurrences[starts[u] .. starts[u + 1]). C a multiple of 4.
// Dispatch  one workgroup per distinct id, in a grid of two dimensions.
// Writes    adds to the rows ids of dweight; the others are left alone.
override WORKGROUP: u32; // threads per id

struct Params { C: u32, U: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dx: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read> starts: array<u32>;
@group(0) @binding(4) var<storage, read> occurrences: array<u32>;
@group(0) @binding(5) var<storage, read_write> dweight: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn embedding_backward(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let u = workgroup.y * workgroups.x + workgroup.x;
  if (u >= params.U) { return; }
  let C4 = params.C / 4u;
  let end = starts[u + 1u];
  for (var c = thread; c < C4; c += WORKGROUP) {
    var sum = vec4(0.0);
    for (var i = starts[u]; i < end; i++) { sum += dx[occurrences[i] * C4 + c]; }
    dweight[ids[u] * C4 + c] += sum;
  }
}
