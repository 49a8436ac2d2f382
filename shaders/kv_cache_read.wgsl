// kv_cache_read: bring keys and values of earlier tokens back to where attention_forward reads them.
//
//   qkv[first + n, NH HS + c] = cache[cache_rows[n],c]
//
// Shapes    qkv (rows, ROW) operand, a row holds query, key, value heads; cache (cached, WIDTH) element, a row holds key,
//           value heads; cache_rows (N) u32. ROW and WIDTH multiples of 4.
// Dispatch  one thread per four elements, in a grid of two dimensions.
// Writes    overwrites key and value heads of the rows first .. first + N of qkv; their query heads stay as they are.
override WORKGROUP: u32; // threads per workgroup

struct Params { N: u32, ROW: u32, WIDTH: u32, first: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> cache: array<vec4<element>>;
@group(0) @binding(2) var<storage, read> cache_rows: array<u32>;
@group(0) @binding(3) var<storage, read_write> qkv: array<vec4<operand>>;

@compute @workgroup_size(WORKGROUP)
fn kv_cache_read(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + thread;
  let width4 = params.WIDTH / 4u;
  let n = i / width4;
  if (n >= params.N) { return; }
  let c = i - n * width4;
  let row4 = params.ROW / 4u;
  qkv[(params.first + n + 1u) * row4 - width4 + c] = vec4<operand>(cache[cache_rows[n] * width4 + c]);
}
