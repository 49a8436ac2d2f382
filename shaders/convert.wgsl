// convert: copies numbers from one storage type to another: the f16 operands of a GEMM from f32 master weights.
//
//   y[i] = result(x[i])
//
// Shapes    x (length) source; y (length) result; length a multiple of 4 or padded.
// Dispatch  one thread per 4 elements: (x, y, 1) workgroups of WORKGROUP threads.
// Writes    overwrites y.
override WORKGROUP: u32;

struct Params { length4: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<source>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<result>>;

@compute @workgroup_size(WORKGROUP)
fn convert(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + thread;
  if (i < params.length4) { y[i] = vec4<result>(x[i]); }
}
