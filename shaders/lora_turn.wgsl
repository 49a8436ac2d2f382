// lora_turn: the first matrix of an adapter turned, so that the gradient of its input is a product like that of a layer.
//
//   y[k,c] = a[c,k] for c < R, and 0 for the padding
//
// Shapes    a (R, K) f32; y (K, width) f32, width >= R a multiple of 4.
// Dispatch  one thread per 4 columns of a row: (x, y, 1) workgroups of WORKGROUP threads.
// Writes    overwrites y.
override WORKGROUP: u32;

struct Params { R: u32, K: u32, width: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn lora_turn(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + thread;
  let width4 = params.width / 4u;
  let k = i / width4;
  if (k >= params.K) { return; }
  var values = vec4(0.0);
  for (var c = 0u; c < 4u; c++) {
    let row = 4u * (i % width4) + c;
    if (row < params.R) { values[c] = a[row * params.K + k]; }
  }
  y[i] = values;
}
